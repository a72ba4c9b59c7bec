import { beforeEach, describe, expect, it, vi } from 'vitest'

import type { Member } from '@/protocol'

import { useConnectionStore } from '../connection'
import { useMembersStore } from '../members'
import { usePresenceStore } from '../presence'
import { useSessionStore } from '../session'
import { useTypingStore } from '../typing'
import { useUsersStore } from '../users'
import { answer, FakeClient, FakeServer, frame, newBrowser, settle } from './fakes'
import { at } from './log'

vi.mock('@/realtime', async () => (await import('./fakes')).fakeRealtime)

let server: FakeServer
const client = (): FakeClient => FakeClient.latest as FakeClient
const person = (id: string) => ({ id, display_name: `The ${id}`, created_at: at(0), admin: false })

beforeEach(async () => {
  newBrowser()
  server = new FakeServer()
  server.add(1)
  useConnectionStore()
  await useSessionStore().restore()
  await settle()
})

describe('names of users', () => {
  it('are ids until they are known, and asked for in one go', async () => {
    server.on('GET /users', () => ['ann', 'bob', 'cid'].map(person))
    const users = useUsersStore()
    expect(['ann', 'bob', 'ann'].map(users.displayName)).toEqual(['ann', 'bob', 'ann'])
    await settle()
    expect(['ann', 'bob'].map(users.displayName)).toEqual(['The ann', 'The bob'])
    expect(server.calls.filter((call) => call.includes('/users'))).toEqual(['GET /users?limit=200'])
  })

  it('that the list does not have are asked for one by one, and once', async () => {
    server.on('GET /users/:id', (url) =>
      url.pathname.endsWith('gone') ? answer(404) : person(url.pathname.split('/')[2] ?? ''),
    )
    const users = useUsersStore()
    for (const id of ['zoe', 'gone']) users.displayName(id)
    await settle()
    expect(users.displayName('zoe')).toBe('The zoe')
    expect(users.displayName('gone')).toBe('gone')
    await settle()
    expect(server.count('GET /users/gone')).toBe(1)
  })

  it('are all found in the end, also many', async () => {
    server.on('GET /users/:id', (url) => person(url.pathname.split('/')[2] ?? ''))
    const users = useUsersStore()
    const ids = Array.from({ length: 90 }, (_, n) => `user${n}`)
    ids.forEach(users.displayName)
    for (let n = 0; n < 10; n++) await frame()
    expect(ids.map(users.displayName)).toEqual(ids.map((id) => `The ${id}`))
  })

  it('are asked for again after the server was away', async () => {
    server.on('GET /users', () => answer(503))
    const users = useUsersStore()
    for (const id of ['ann', 'bob']) users.displayName(id)
    await settle()
    server.on('GET /users', () => ['ann', 'bob'].map(person))
    for (const id of ['ann', 'bob']) users.displayName(id)
    await settle()
    expect(users.displayName('ann')).toBe('The ann')
  })

  it('come along with a search, and of oneself with the login', async () => {
    server.on('GET /users', () => [person('ann')])
    const users = useUsersStore()
    expect(await users.search('an')).toHaveLength(1)
    expect(users.displayName('ann')).toBe('The ann')
    expect(users.displayName('me')).toBe('Me')
    users.clear()
    expect(users.displayName('ann')).toBe('ann')
  })
})

describe('the members of a channel', () => {
  const member = (user_id: string, role: Member['role'] = 'member'): Member => ({
    user_id,
    display_name: `The ${user_id}`,
    role,
    joined_at: at(0),
  })
  const ids = (): string[] =>
    useMembersStore()
      .of(1)
      .members.map(({ user_id }) => user_id)
  const event = (seq: number, user_id: string) => ({
    channel_id: 1,
    seq,
    user_id,
    sent_at: at(0),
  })

  it('come page by page', async () => {
    const all = Array.from({ length: 150 }, (_, n) => member(`u${String(n).padStart(3, '0')}`))
    server.on('GET /channels/:id/members', (url) => {
      const after = url.searchParams.get('after') ?? ''
      return all.filter(({ user_id }) => user_id > after).slice(0, 100)
    })
    const members = useMembersStore()
    expect(members.of(1)).toMatchObject({ phase: 'idle', members: [] })
    await members.load(1)
    expect(members.of(1)).toMatchObject({ phase: 'ready', hasMore: true })
    await members.loadMore(1)
    expect(ids()).toHaveLength(150)
    expect(members.of(1).hasMore).toBe(false)
    await members.loadMore(1)
    expect(server.calls.filter((call) => call.includes('members'))).toHaveLength(2)
    expect(useUsersStore().displayName('u149')).toBe('The u149')
  })

  it('change by events, at their place', async () => {
    server.on('GET /channels/:id/members', () => [member('ann', 'owner'), member('cid')])
    await useMembersStore().load(1)
    client().event({ type: 'member.joined', role: 'member', ...event(1, 'bob') })
    client().event({ type: 'member.joined', role: 'member', ...event(2, 'zoe') })
    expect(ids()).toEqual(['ann', 'bob', 'cid', 'zoe'])
    client().event({ type: 'member.updated', role: 'moderator', by: 'ann', ...event(3, 'bob') })
    expect(useMembersStore().of(1).members[1]?.role).toBe('moderator')
    client().event({ type: 'member.left', reason: 'left', ...event(4, 'ann') })
    expect(ids()).toEqual(['bob', 'cid', 'zoe'])
  })

  it('keep what changed while the page was on its way', async () => {
    server.on('GET /channels/:id/members', () => [member('ann'), member('bob')])
    server.hold('GET /channels/:id/members')
    const loading = useMembersStore().load(1)
    await settle()
    client().event({ type: 'member.left', reason: 'left', ...event(1, 'ann') })
    await server.release('GET /channels/:id/members')
    await loading
    expect(ids()).toEqual(['bob'])
  })

  it('that are behind the loaded pages come with their page', async () => {
    const page = Array.from({ length: 100 }, (_, n) => member(`a${String(n).padStart(3, '0')}`))
    server.on('GET /channels/:id/members', () => page)
    await useMembersStore().load(1)
    client().event({ type: 'member.joined', role: 'member', ...event(1, 'zoe') })
    expect(ids()).toHaveLength(100)
  })

  it('say why they cannot be loaded', async () => {
    server.on('GET /channels/:id/members', () => answer(403, { code: 'forbidden', message: '' }))
    await useMembersStore().load(1)
    expect(useMembersStore().of(1)).toMatchObject({ phase: 'error', error: { code: 'forbidden' } })
  })

  it('are changed by who may', async () => {
    for (const route of ['PATCH', 'DELETE']) {
      server.on(`${route} /channels/:id/members/:user`, () => answer(204))
    }
    for (const route of ['PUT', 'DELETE']) {
      server.on(`${route} /channels/:id/bans/:user`, () => answer(204))
    }
    const banned = Array.from({ length: 230 }, (_, n) => ({ user_id: `b${1000 + n}` }))
    server.on('GET /channels/:id/bans', (url) => {
      const after = url.searchParams.get('after') ?? ''
      return banned.filter(({ user_id }) => user_id > after).slice(0, 200)
    })
    const members = useMembersStore()
    server.calls.length = 0
    await members.setRole(1, 'ann', 'moderator')
    await members.removeMember(1, 'ann')
    await members.ban(1, 'ann')
    await members.unban(1, 'ann')
    expect(server.calls).toEqual([
      'PATCH /channels/1/members/ann',
      'DELETE /channels/1/members/ann',
      'PUT /channels/1/bans/ann',
      'DELETE /channels/1/bans/ann',
    ])
    expect(await members.bans(1)).toHaveLength(230)
  })
})

describe('presence', () => {
  const tell = (more: object) =>
    client().event({ type: 'presence', channel_id: 1, online: 2, ...more } as never)

  it('is a list, and then its changes', () => {
    const presence = usePresenceStore()
    expect(presence.names(1)).toBeNull()
    tell({ users: ['me', 'ann'] })
    tell({ joined: ['bob'], left: ['ann'] })
    expect([...(presence.names(1) ?? [])]).toEqual(['me', 'bob'])
    expect(presence.count(1)).toBe(2)
    expect([presence.isOnline('bob'), presence.isOnline('ann')]).toEqual([true, false])
  })

  it('is a count where they are too many', () => {
    const presence = usePresenceStore()
    tell({ users: ['me'] })
    tell({ online: 5000 })
    expect(presence.count(1)).toBe(5000)
    expect(presence.names(1)).toBeNull()
    expect(presence.isOnline('me')).toBe(false)
    // Changes of a list that is not known name nobody.
    tell({ online: 200, joined: ['ann'] })
    expect(presence.names(1)).toBeNull()
  })

  it('of a channel that is received no more is forgotten', async () => {
    tell({ users: ['ann'] })
    const left = { user_id: 'me', reason: 'left', seq: 3, channel_id: 1, sent_at: at(0) } as const
    client().event({ type: 'member.left', ...left })
    await settle()
    expect(usePresenceStore().isOnline('ann')).toBe(false)
  })
})

describe('typing', () => {
  const writes = (user_id: string) =>
    client().event({ type: 'typing', channel_id: 1, user_id, expires_in_ms: 6000 })

  it('shows others for as long as the server says', () => {
    const { typing } = useTypingStore()
    writes('bob')
    writes('me')
    vi.advanceTimersByTime(4000)
    writes('ann')
    writes('bob')
    expect(typing(1)).toEqual(['bob', 'ann'])
    vi.advanceTimersByTime(5999)
    expect(typing(1)).toEqual(['bob', 'ann'])
    vi.advanceTimersByTime(1)
    expect(typing(1)).toEqual([])
  })

  it('is told every three seconds at most, and at once after a message', () => {
    const typing = useTypingStore()
    for (let n = 0; n < 10; n++) typing.notify(1)
    expect(client().typed).toEqual([1])
    vi.advanceTimersByTime(3000)
    typing.notify(1)
    typing.sent(1)
    typing.notify(1)
    expect(client().typed).toEqual([1, 1, 1])
  })

  it('ends with the session', () => {
    writes('bob')
    useTypingStore().clear()
    expect(useTypingStore().typing(1)).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })
})
