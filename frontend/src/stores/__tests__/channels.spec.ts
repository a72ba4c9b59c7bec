import { beforeEach, describe, expect, it, vi } from 'vitest'

import { setLocale } from '@/i18n'

import { useChannelsStore } from '../channels'
import { useConnectionStore } from '../connection'
import { useMessagesStore } from '../messages'
import { useSessionStore } from '../session'
import { useToastsStore } from '../toasts'
import { answer, channelOf, FakeServer, frame, newBrowser, settle } from './fakes'
import { at } from './log'
import { client, logIn } from './harness'

vi.mock('@/realtime', async () => (await import('./fakes')).fakeRealtime)

let server: FakeServer

const names = (): string[] => useChannelsStore().mine.map(({ name }) => name)
const toasts = (): string[] => useToastsStore().items.map(({ text }) => text)
const channel = (id: number) => {
  const entry = useChannelsStore().byId.get(id)
  if (!entry) throw new Error('There is no such channel.')
  return entry
}

beforeEach(async () => {
  newBrowser()
  server = new FakeServer()
  await setLocale('en')
})

describe('the list of channels', () => {
  it('has those that call first, then unread ones, then the rest, each by name', async () => {
    server.add(1, { name: 'zoo' })
    server.add(2, { name: 'Älpler' })
    server.add(3, { name: 'news', unread: 3 })
    server.add(4, { name: '', visibility: 'direct', peer: 'ann', unread: 1 })
    server.add(5, { name: 'bees', unread: 1 })
    server.add(6, { name: 'public', role: null })
    await logIn()
    expect(names()).toEqual(['', 'bees', 'news', 'Älpler', 'zoo'])
  })

  it('says when it cannot be loaded, and is loaded at the next try', async () => {
    const list = { ok: false }
    server.on('GET /channels', () => (list.ok ? [channelOf(1)] : answer(500, { code: 'internal' })))
    await logIn()
    expect(useChannelsStore().error?.code).toBe('internal')
    list.ok = true
    await useChannelsStore().load()
    expect(useChannelsStore()).toMatchObject({ error: null, loading: false })
    expect(useChannelsStore().mine).toHaveLength(1)
  })

  it('receives as many channels as a connection may, unread and last opened ones first', async () => {
    server.add(1)
    server.add(2)
    server.add(3, { unread: 1 })
    await logIn()
    useChannelsStore().activeId = 2
    await settle()
    useSessionStore().lost('errors.endedElsewhere')
    const former = client()
    const started = useSessionStore().restore()
    await started
    expect(client()).not.toBe(former)
    client().hello(2)
    await settle()
    expect([...client().subscribed.keys()].sort()).toEqual([2, 3])
  })

  it('makes room for a channel that is opened', async () => {
    server.add(1)
    server.add(2)
    server.log(2).say('bob', 'hello')
    await logIn()
    client().hello(1)
    expect(client().subscribed.size).toBe(1)
    const kept = [...client().subscribed.keys()][0] ?? 0
    const other = kept === 1 ? 2 : 1
    await useMessagesStore().open(other)
    expect([...client().subscribed.keys()]).toEqual([other])
    expect(useMessagesStore().timeline(other).phase).toBe('ready')
  })

  it('shows the name of the peer of a direct channel', async () => {
    server.add(4, { name: '', visibility: 'direct', peer: 'ann' })
    server.on('GET /users/:id', () => ({ id: 'ann', display_name: 'Ann Lee' }))
    await logIn()
    expect(useChannelsStore().displayName(channel(4))).toBe('ann')
    await settle()
    expect(useChannelsStore().displayName(channel(4))).toBe('Ann Lee')
  })

  it('is loaded anew after a reconnection: what ended meanwhile goes, what is new comes', async () => {
    server.add(1)
    server.add(2)
    await logIn()
    server.channels.delete(1)
    server.add(3)
    client().online(true)
    await settle()
    expect([...useChannelsStore().byId.keys()]).toEqual([2, 3])
    expect([...client().subscribed.keys()]).toEqual([2, 3])
    expect(useConnectionStore().lastRestoredAt).toBe(7)
  })

  it('knows where the user was last, in what is still theirs', async () => {
    server.add(1)
    server.add(2)
    await logIn()
    const channels = useChannelsStore()
    expect([channels.loaded, channels.lastOpened()]).toEqual([true, null])
    channels.activeId = 2
    await settle()
    channels.activeId = 1
    await settle()
    expect(channels.lastOpened()).toBe(1)
    server.channels.delete(1)
    client().refuse(1)
    await settle()
    expect(channels.lastOpened()).toBe(2)
  })

  it('does not bring back what was left while it was on its way', async () => {
    server.add(1)
    server.on('POST /channels/:id/leave', () => answer(204))
    await logIn()
    server.hold('GET /channels')
    const loading = useChannelsStore().load()
    await settle()
    await useChannelsStore().leave(1)
    await server.release('GET /channels')
    await loading
    expect(useChannelsStore().mine).toEqual([])
  })
})

describe('what the user does', () => {
  it('creates, joins, opens and leaves channels', async () => {
    server.add(1)
    server.on('POST /channels', (_, body) => channelOf(7, body as object))
    server.on('POST /channels/:id/join', () => channelOf(8))
    server.on('POST /direct', () => channelOf(9, { visibility: 'direct', peer: 'ann' }))
    server.on('POST /channels/:id/leave', () => answer(204))
    server.on('DELETE /channels/:id', () => answer(204))
    await logIn()
    const channels = useChannelsStore()
    await channels.create({ name: 'new', visibility: 'private' })
    await channels.join(8)
    await channels.openDirect('ann')
    expect([...client().subscribed.keys()]).toEqual([1, 7, 8, 9])
    expect(channel(7)).toMatchObject({ name: 'new', mentions: 0, muted: false })
    await channels.leave(8)
    await channels.remove(7)
    expect([...channels.byId.keys()]).toEqual([1, 9])
    expect(client().unsubscribed).toEqual([8, 7])
  })

  it('changes a channel and invites to it', async () => {
    server.add(1)
    server.on('PATCH /channels/:id', (_, body) => channelOf(1, body as object))
    server.on('POST /channels/:id/members', () => ({}))
    await logIn()
    await useChannelsStore().update(1, { topic: 'What grows' })
    expect(channel(1).topic).toBe('What grows')
    await useChannelsStore().invite(1, 'ann')
    expect(server.calls).toContain('POST /channels/1/members')
  })

  it('finds public channels that the user is not in', async () => {
    server.add(1, { name: 'garden' })
    server.add(2, { name: 'Gardening', role: null })
    server.add(3, { name: 'cats', topic: 'in the garden', role: null })
    server.add(4, { name: 'dogs', role: null })
    await logIn()
    expect((await useChannelsStore().browse(' garden ')).map(({ id }) => id)).toEqual([2, 3])
  })

  it('mutes a channel in this browser: it counts no more, mentions do', async () => {
    server.add(1, { unread: 2 })
    server.add(2, { unread: 1 })
    await logIn()
    useChannelsStore().setMuted(1, true)
    expect(useChannelsStore().totalUnread).toBe(1)
    client().event(server.log(1).say('bob', 'hi @me'))
    await frame()
    expect(useChannelsStore().totalMentions).toBe(1)
    await useChannelsStore().load()
    expect(channel(1).muted).toBe(true)
    useChannelsStore().setMuted(1, false)
    expect(channel(1).muted).toBe(false)
  })
})

describe('events of membership', () => {
  const log = { sent_at: at(0) }

  it('add a channel that somebody invited to, and receive it', async () => {
    await logIn()
    server.add(3, { name: 'garden', visibility: 'private' }).joined('me')
    client().event({
      type: 'member.joined',
      channel_id: 3,
      seq: 1,
      user_id: 'me',
      role: 'member',
      by: 'bob',
      ...log,
    })
    await settle()
    expect(names()).toEqual(['garden'])
    expect(client().subscribed.get(3)).toBe(1)
    expect(toasts()).toEqual(['You were added to garden.'])
  })

  it.each([
    ['removed', ['You were removed from garden.']],
    ['banned', ['You were banned from garden.']],
    ['left', []],
  ] as const)('take a channel away (%s)', async (reason, told) => {
    server.add(1, { name: 'garden' })
    await logIn()
    const event = { channel_id: 1, seq: 9, user_id: 'me', reason, ...log }
    client().event({ type: 'member.left', ...event })
    await settle()
    expect(names()).toEqual([])
    expect(client().unsubscribed).toEqual([1])
    expect(toasts()).toEqual(told)
  })

  it('count members, and know a new role', async () => {
    server.add(1, { head: 5 })
    await logIn()
    const ann = { channel_id: 1, user_id: 'ann', ...log }
    // Older than the list: counted there.
    client().event({ type: 'member.joined', seq: 4, role: 'member', ...ann })
    expect(channel(1).member_count).toBe(2)
    client().event({ type: 'member.joined', seq: 6, role: 'member', ...ann })
    expect(channel(1).member_count).toBe(3)
    client().event({ type: 'member.left', seq: 7, reason: 'left', ...ann })
    expect(channel(1).member_count).toBe(2)
    const me = { channel_id: 1, user_id: 'me', by: 'bob', ...log }
    client().event({ type: 'member.updated', seq: 8, role: 'moderator', ...me })
    expect(channel(1).role).toBe('moderator')
  })

  it('change and delete a channel', async () => {
    server.add(1, { name: 'garden' })
    await logIn()
    client().event({
      type: 'channel.updated',
      channel_id: 1,
      seq: 1,
      name: 'gardens',
      topic: 'Both',
      visibility: 'private',
      by: 'bob',
      ...log,
    })
    expect(channel(1)).toMatchObject({ name: 'gardens', topic: 'Both', visibility: 'private' })
    client().event({ type: 'channel.deleted', channel_id: 1, seq: 2, by: 'bob', ...log })
    await settle()
    expect(names()).toEqual([])
    expect(toasts()).toEqual(['gardens was deleted.'])
  })

  it('take a channel away that the gateway does not give', async () => {
    server.add(1)
    server.add(2)
    await logIn()
    server.channels.delete(1)
    client().refuse(1)
    client().refuse(2)
    await settle()
    expect([...useChannelsStore().byId.keys()]).toEqual([2])
    // Still there: it is received again when it is opened.
    await useMessagesStore().open(2)
    expect([...client().subscribed.keys()]).toEqual([2])
  })

  it('begin the counts anew after a reset', async () => {
    const old = server.add(1)
    for (let n = 0; n < 9; n++) old.say('bob', 'old')
    server.change(1, { unread: 9 })
    await logIn()
    server.add(1).say('bob', 'restored')
    server.change(1, { unread: 1 })
    client().reset(1)
    await settle()
    expect(channel(1)).toMatchObject({ head: 1, unread: 1 })
    client().event(server.log(1).say('bob', 'new'))
    await frame()
    expect(channel(1).unread).toBe(2)
  })
})
