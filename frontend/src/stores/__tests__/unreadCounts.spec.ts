import { beforeEach, describe, expect, it, vi } from 'vitest'

import { setLocale } from '@/i18n'

import { useChannelsStore } from '../channels'
import { useMessagesStore } from '../messages'
import { useToastsStore } from '../toasts'
import { answer, FakeServer, frame, newBrowser, settle } from './fakes'
import { client, logIn } from './harness'

vi.mock('@/realtime', async () => (await import('./fakes')).fakeRealtime)

let server: FakeServer

const toasts = (): string[] => useToastsStore().items.map(({ text }) => text)
const channel = (id: number) => {
  const entry = useChannelsStore().byId.get(id)
  if (!entry) throw new Error('There is no such channel.')
  return entry
}

function hide(hidden: boolean): void {
  vi.spyOn(document, 'hidden', 'get').mockReturnValue(hidden)
}

beforeEach(async () => {
  newBrowser()
  server = new FakeServer()
  await setLocale('en')
})

describe('unread messages', () => {
  it('are those that the server counted and those that come', async () => {
    server.add(1, { unread: 2 })
    server.add(2)
    await logIn()
    client().event(server.log(1).say('bob', 'one'), server.log(1).say('me', 'mine'))
    await frame()
    expect(channel(1).unread).toBe(3)
    expect(useChannelsStore().totalUnread).toBe(3)
  })

  it('are not counted in the channel that is looked at, but are when the page is hidden', async () => {
    server.add(1)
    await logIn()
    useChannelsStore().activeId = 1
    client().event(server.log(1).say('bob', 'seen'))
    await frame()
    expect(channel(1).unread).toBe(0)
    hide(true)
    client().event(server.log(1).say('bob', 'not seen'))
    await vi.advanceTimersByTimeAsync(200)
    expect(channel(1).unread).toBe(1)
  })

  it('are not counted twice when they are replayed after a reconnection', async () => {
    server.add(1)
    await logIn()
    const missed = [server.log(1).say('bob', 'a'), server.log(1).say('bob', 'b')]
    server.change(1, { unread: 2 })
    client().online(true)
    await settle()
    client().event(...missed)
    await frame()
    expect(channel(1).unread).toBe(2)
  })

  it('are kept when they come while the list is on its way', async () => {
    server.add(1)
    await logIn()
    server.hold('GET /channels')
    const loading = useChannelsStore().load()
    await settle()
    client().event(server.log(1).say('bob', 'later than the list'))
    await server.release('GET /channels')
    await loading
    expect(channel(1).unread).toBe(1)
  })

  it('are fewer when one is deleted', async () => {
    server.add(1)
    await logIn()
    client().event(server.log(1).say('bob', 'hi @me'), server.log(1).say('bob', 'two'))
    client().event(server.log(1).delete(0))
    await frame()
    expect(channel(1)).toMatchObject({ unread: 1, mentions: 0 })
  })

  it('are counted by the server when one of its count is deleted', async () => {
    server.add(1).say('bob', 'old')
    server.change(1, { unread: 1 })
    await logIn()
    client().event(server.log(1).delete(0))
    server.change(1, { unread: 0 })
    await vi.advanceTimersByTimeAsync(600)
    expect(channel(1).unread).toBe(0)
  })
})

describe('mentions', () => {
  it('are messages that call the user, and every direct one', async () => {
    server.add(1)
    server.add(2, { visibility: 'direct', peer: 'ann', name: '', unread: 1 })
    await logIn()
    client().event(server.log(1).say('bob', 'hello @me.'), server.log(1).say('bob', 'hello @mecca'))
    client().event(server.log(2).say('ann', 'hi'))
    await frame()
    expect(channel(1)).toMatchObject({ unread: 2, mentions: 1 })
    expect(channel(2)).toMatchObject({ unread: 2, mentions: 2 })
    expect(useChannelsStore().totalMentions).toBe(3)
  })

  it('are looked for in what was unread at the load, two channels at a time', async () => {
    for (let id = 1; id <= 5; id++) {
      server.add(id).say('bob', id % 2 === 1 ? '@me look' : 'nothing')
      server.change(id, { unread: 1 })
    }
    server.hold('GET /channels/:id/messages')
    await logIn()
    expect(server.calls.filter((call) => call.includes('messages'))).toHaveLength(2)
    await server.release('GET /channels/:id/messages')
    await frame()
    expect(useChannelsStore().totalMentions).toBe(3)
    await useChannelsStore().load()
    await settle()
    expect(server.calls.filter((call) => call.includes('messages'))).toHaveLength(5)
  })

  it('that cannot be looked for are not told of', async () => {
    server.add(1, { unread: 1 })
    server.on('GET /channels/:id/messages', () => answer(500))
    await logIn()
    expect(channel(1).mentions).toBe(0)
    expect(toasts()).toEqual([])
  })
})

describe('the read cursor', () => {
  async function withUnread() {
    const log = server.add(1)
    for (let n = 1; n <= 5; n++) log.say('bob', '@me')
    server.change(1, { unread: 5 })
    await logIn()
    await frame()
    return useChannelsStore()
  }

  it('is told at once, then at most once a second, and only forward', async () => {
    const channels = await withUnread()
    channels.markRead(1, 2)
    channels.markRead(1, 3)
    channels.markRead(1, 5)
    channels.markRead(1, 4)
    expect(client().reads).toEqual([[1, 2]])
    await vi.advanceTimersByTimeAsync(1000)
    expect(client().reads).toEqual([
      [1, 2],
      [1, 5],
    ])
    await vi.advanceTimersByTimeAsync(5000)
    channels.markRead(1, 5)
    expect(client().reads).toHaveLength(2)
    expect(channel(1)).toMatchObject({ unread: 0, mentions: 0, read_seq: 5 })
  })

  it('is told when the connection is back', async () => {
    const channels = await withUnread()
    client().become({ kind: 'offline' })
    channels.markRead(1, 5)
    await frame()
    expect(client().reads).toEqual([])
    expect(channel(1).unread).toBe(0)
    client().online(true)
    expect(client().reads).toEqual([[1, 5]])
  })

  it('moves with the other tabs of the user, and not with other users', async () => {
    await withUnread()
    client().event({ type: 'read', channel_id: 1, user_id: 'bob', seq: 5 })
    await frame()
    expect(channel(1).unread).toBe(5)
    client().event({ type: 'read', channel_id: 1, user_id: 'me', seq: 5 })
    await frame()
    expect(channel(1)).toMatchObject({ unread: 0, mentions: 0 })
    client().event({ type: 'read', channel_id: 1, user_id: 'me', seq: 3 })
    await frame()
    expect(channel(1).read_seq).toBe(5)
  })

  it('in the midst of what the server counted makes the server count', async () => {
    await withUnread()
    client().event({ type: 'read', channel_id: 1, user_id: 'me', seq: 3 })
    server.change(1, { read_seq: 3, unread: 2 })
    await vi.advanceTimersByTimeAsync(600)
    expect(channel(1)).toMatchObject({ unread: 2, mentions: 2 })
  })

  it('asks the server only after it was told', async () => {
    const channels = await withUnread()
    channels.markRead(1, 2)
    channels.markRead(1, 3)
    await vi.advanceTimersByTimeAsync(600)
    expect(server.count('GET /channels/1')).toBe(0)
    server.change(1, { read_seq: 3, unread: 2 })
    await vi.advanceTimersByTimeAsync(1500)
    expect(server.count('GET /channels/1')).toBe(1)
    expect(channel(1).unread).toBe(2)
  })

  it('is not moved in a channel that one only looks at', async () => {
    server.add(1, { role: null }).say('bob', 'hello')
    await logIn()
    await useMessagesStore().open(1)
    useChannelsStore().markRead(1, 1)
    expect(client().reads).toEqual([])
  })
})
