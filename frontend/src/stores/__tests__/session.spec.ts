import { beforeEach, describe, expect, it, vi } from 'vitest'

import { setLocale } from '@/i18n'

import { useChannelsStore } from '../channels'
import { useConnectionStore } from '../connection'
import { useDraftsStore } from '../drafts'
import { useMessagesStore } from '../messages'
import { useSessionStore } from '../session'
import { useToastsStore } from '../toasts'
import { answer, FakeOutbox, FakeServer, newBrowser, newPage, settle } from './fakes'
import { entryOf } from './log'
import { client, kept, logIn } from './harness'

vi.mock('@/realtime', async () => (await import('./fakes')).fakeRealtime)

let server: FakeServer

const toasts = (): string[] => useToastsStore().items.map(({ text }) => text)
const refused = () => answer(401, { code: 'unauthenticated', message: 'No token.' })
const person = (id: string) => ({ id, display_name: id, created_at: '', admin: false })

beforeEach(async () => {
  newBrowser()
  server = new FakeServer()
  await setLocale('en')
})

describe('a session', () => {
  it('is restored from the cookies', async () => {
    const session = useSessionStore()
    expect(session.phase).toBe('unknown')
    await Promise.all([session.restore(), session.restore()])
    expect(session).toMatchObject({ phase: 'authenticated', user: { id: 'me' } })
    expect(server.count('GET /auth/me')).toBe(1)
  })

  it('is restored by the refresh token when the access token has expired', async () => {
    let renewed = false
    server.on('GET /auth/me', () => (renewed ? person('me') : refused()))
    server.on('POST /auth/refresh', () => {
      renewed = true
      return { access_token: 'new' }
    })
    await useSessionStore().restore()
    expect(useSessionStore().phase).toBe('authenticated')
  })

  it('is anonymous without a login, and nobody is told', async () => {
    server.on('GET /auth/me', refused).on('POST /auth/refresh', refused)
    await useSessionStore().restore()
    expect(useSessionStore()).toMatchObject({ phase: 'anonymous', user: null })
    expect(toasts()).toEqual([])
  })

  it('waits for a server that does not answer, and says so', async () => {
    let there = false
    server.on('GET /auth/me', () => (there ? person('me') : answer(503)))
    const session = useSessionStore()
    const restoring = session.restore()
    await vi.advanceTimersByTimeAsync(2500)
    expect(session).toMatchObject({ phase: 'unknown', problem: { code: 'unavailable' } })
    there = true
    await vi.advanceTimersByTimeAsync(4000)
    await restoring
    expect(session).toMatchObject({ phase: 'authenticated', problem: null })
  })

  it('begins with a login, and a new user is logged in at once', async () => {
    server.on('POST /auth/register', (_, body) => person((body as { user_id: string }).user_id))
    server.on('POST /auth/login', (_, body) => ({
      ...person((body as { user_id: string }).user_id),
      access_token: 'secret',
    }))
    await useSessionStore().register({ user_id: 'ann', password: 'long enough' })
    expect(useSessionStore().user).toEqual(person('ann'))
    expect(server.calls).toEqual(['POST /auth/register', 'POST /auth/login'])
  })

  it('says that a password is wrong in words of its own', async () => {
    server.on('POST /auth/login', refused)
    const login = useSessionStore().login('ann', 'wrong')
    await expect(login).rejects.toMatchObject({ code: 'wrongLogin' })
    server.on('POST /auth/login', () => answer(429, {}, { 'Retry-After': '12' }))
    await expect(useSessionStore().login('ann', 'wrong')).rejects.toMatchObject({
      code: 'rate_limited',
      retryAfterMs: 12_000,
    })
    // No refresh token could help here.
    expect(server.count('POST /auth/refresh')).toBe(0)
  })

  it('changes the profile', async () => {
    server.on('PATCH /auth/me', () => ({ ...person('me'), display_name: 'New' }))
    await logIn()
    await useSessionStore().update({ display_name: 'New' })
    expect(useSessionStore().user?.display_name).toBe('New')
    expect(client().stopped).toBe(false)
  })
})

describe('the end of a session', () => {
  beforeEach(() => {
    server.add(1).say('bob', 'hello')
    server.on('POST /auth/logout', () => ({ status: 'logged out' }))
    server.on('DELETE /auth/me', () => ({ status: 'deleted' }))
  })

  it.each(['logout', 'deleteAccount'] as const)('clears what is of the user (%s)', async (end) => {
    await logIn()
    await useMessagesStore().open(1)
    useDraftsStore().set(1, 'a secret draft')
    useChannelsStore().setMuted(1, true)
    await useMessagesStore().send(1, 'waits')
    FakeOutbox.stored.push(entryOf('of-ann', 'hers', { user_id: 'ann' }))
    const former = client()
    await useSessionStore()[end]()
    expect(useSessionStore()).toMatchObject({ phase: 'anonymous', user: null })
    expect(former.stopped).toBe(true)
    expect(useChannelsStore().mine).toEqual([])
    expect(useMessagesStore().timeline(1).rows).toEqual([])
    expect(FakeOutbox.stored.map(({ ref }) => ref)).toEqual(['of-ann'])
    expect(kept()).not.toContain('secret')
    expect(Object.keys(localStorage).filter((name) => name.endsWith('.me'))).toEqual([])
  })

  it('is not believed when the server cannot be reached', async () => {
    server.on('POST /auth/logout', () => Promise.reject(new TypeError('Failed to fetch')))
    await logIn()
    await expect(useSessionStore().logout()).rejects.toMatchObject({ code: 'network' })
    expect(useSessionStore().phase).toBe('authenticated')
  })

  it('is told when it came from elsewhere, and what waits is kept', async () => {
    await logIn()
    useDraftsStore().set(1, 'draft')
    await useMessagesStore().send(1, 'waits')
    server.on('GET /auth/me', refused).on('POST /auth/refresh', refused)
    client().become({ kind: 'ended', reason: { code: 4500, text: 'authentication_failed' } })
    await vi.advanceTimersByTimeAsync(1000)
    expect(useSessionStore().phase).toBe('anonymous')
    expect(toasts()).toEqual(['You were logged out. Log in again to go on.'])
    newPage()
    new FakeServer().add(1)
    await logIn()
    expect(useDraftsStore().get(1)).toBe('draft')
    expect(useMessagesStore().timeline(1).rows).toMatchObject([{ payload: 'waits' }])
  })

  it('says nothing of the connection that it ends itself', async () => {
    await logIn()
    server.on('POST /auth/logout', () => {
      client().become({ kind: 'ended', reason: { code: 4500, text: 'authentication_failed' } })
      server.on('GET /auth/me', refused).on('POST /auth/refresh', refused)
      return { status: 'logged out' }
    })
    server.hold('POST /auth/logout')
    const leaving = useSessionStore().logout()
    await settle()
    await server.release('POST /auth/logout')
    await leaving
    expect(useSessionStore().phase).toBe('anonymous')
    expect(toasts()).toEqual([])
  })

  it('is none when the password was changed here: the connection is opened again, once', async () => {
    await logIn()
    const ended = { kind: 'ended', reason: { code: 4500, text: 'authentication_failed' } } as const
    client().become(ended)
    await vi.advanceTimersByTimeAsync(1000)
    expect(client().starts).toBe(2)
    expect(useSessionStore().phase).toBe('authenticated')
    client().become(ended)
    await vi.advanceTimersByTimeAsync(1000)
    expect(useSessionStore().phase).toBe('anonymous')
  })

  it('waits for the cookies of the next login when the password is changed', async () => {
    await logIn()
    let cookies = 'old'
    server.on('PATCH /auth/me', () => {
      // The server ends the old login; the answer with the new cookies is still on its way.
      server.on('GET /auth/me', () => (cookies === 'new' ? person('me') : refused()))
      server.on('POST /auth/refresh', refused)
      client().become({ kind: 'ended', reason: { code: 4500, text: 'authentication_failed' } })
      return person('me')
    })
    server.hold('PATCH /auth/me')
    const changing = useSessionStore().update({ password: 'another one' })
    await vi.advanceTimersByTimeAsync(3000)
    await useChannelsStore().load()
    expect(useSessionStore().phase).toBe('authenticated')
    cookies = 'new'
    await server.release('PATCH /auth/me')
    await changing
    await settle()
    expect(useSessionStore().phase).toBe('authenticated')
    expect(client().starts).toBe(2)
  })

  it('comes with a change that is refused for it', async () => {
    await logIn()
    server.on('PATCH /auth/me', refused).on('POST /auth/refresh', refused)
    const changing = useSessionStore().update({ display_name: 'New' })
    await expect(changing).rejects.toMatchObject({ status: 401 })
    expect(useSessionStore().phase).toBe('anonymous')
  })

  it('tells who was banned from the server', async () => {
    await logIn()
    server.on('GET /auth/me', () => answer(403, { code: 'forbidden', message: '' }))
    client().become({ kind: 'ended', reason: { code: 4503, text: 'forbidden' } })
    await vi.advanceTimersByTimeAsync(1000)
    expect(toasts()).toEqual(['You may not use this server any more.'])
  })

  it('comes with any request that neither token is good for', async () => {
    await logIn()
    server.on('GET /channels', refused).on('POST /auth/refresh', refused)
    await useChannelsStore().load()
    expect(useSessionStore().phase).toBe('anonymous')
    expect(client().stopped).toBe(true)
  })
})

describe('the connection', () => {
  it('begins with the login, with a ticket for each try', async () => {
    server.on('POST /auth/ticket', () => ({ token: 'ticket-1', expires_in: 60 }))
    server.on('POST /auth/refresh', () => ({ access_token: 'access-1' }))
    await logIn()
    const { options } = client()
    expect(options.url).toMatch(/^ws:.*\/ws$/)
    expect(await options.ticket()).toBe('ticket-1')
    expect(await options.accessToken()).toBe('access-1')
    expect(kept()).not.toMatch(/ticket-1|access-1/)
  })

  it('says how it is, and what the server said', async () => {
    await logIn()
    const connection = useConnectionStore()
    client().hello(200)
    expect(connection.limits?.payload_characters).toBe(4000)
    client().event({ type: 'reconnect', after_ms: 1000, reason: 'restart' })
    expect(connection.serverSaid).toEqual({ reason: 'restart' })
    const reason = { code: 4001, text: 'slow_consumer' }
    client().become({ kind: 'waiting', attempt: 1, retryAt: 5, reason })
    expect(connection.status.kind).toBe('waiting')
    expect(connection.serverSaid).toEqual({ reason: 'slow_consumer' })
    connection.tryNow()
    expect(client().tries).toBe(1)
    client().online(true)
    expect(connection).toMatchObject({ serverSaid: null, lastRestoredAt: 7 })
  })

  it('of a break without a word says nothing of the server', async () => {
    await logIn()
    const reason = { code: 1006, text: 'network' }
    client().become({ kind: 'waiting', attempt: 1, retryAt: 5, reason })
    expect(useConnectionStore().serverSaid).toBeNull()
  })

  it('gives what comes to nobody else than the user of now', async () => {
    server.add(1)
    await logIn()
    const former = client()
    useSessionStore().lost('errors.endedElsewhere')
    server.on('GET /auth/me', () => person('ann'))
    server.channels.clear()
    await useSessionStore().restore()
    await settle()
    former.event(server.log(1).say('bob', 'late'))
    former.become({ kind: 'offline' })
    expect(useConnectionStore().status.kind).toBe('idle')
    expect(useChannelsStore().mine).toEqual([])
  })
})
