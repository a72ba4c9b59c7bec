import { beforeEach, describe, expect, it, vi } from 'vitest'

import * as api from '..'
import { request } from '../client'
import { asApiError, retryAfter } from '../errors'

type Answer = [status: number, body?: unknown, headers?: Record<string, string>]

let calls: { path: string; init: RequestInit }[]
let handler: (path: string) => Answer | Promise<Answer>

const count = (path: string): number => calls.filter((call) => call.path === path).length

beforeEach(() => {
  vi.useFakeTimers()
  localStorage.clear()
  calls = []
  handler = () => [200, {}]
  vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
    calls.push({ path, init })
    const aborted = new Promise<never>((_, reject) => {
      init.signal?.addEventListener('abort', () => reject(new DOMException('', 'AbortError')))
    })
    const [status, body, headers] = await Promise.race([handler(path), aborted])
    const text = typeof body === 'string' ? body : body === undefined ? null : JSON.stringify(body)
    return new Response(text, { status, ...(headers ? { headers } : {}) })
  })
})

describe('a request', () => {
  it('is JSON both ways, with the cookies of the login', async () => {
    handler = () => [201, { id: 7 }]
    expect(await request('POST', '/channels', { body: { name: 'x' } })).toEqual({ id: 7 })
    expect(calls[0]?.init).toMatchObject({
      method: 'POST',
      credentials: 'same-origin',
      body: '{"name":"x"}',
      headers: { 'Content-Type': 'application/json' },
    })
  })

  it('leaves empty query values out and escapes the others', async () => {
    await api.users.list({ contains: 'a&b', after: '', limit: 5 })
    expect(calls[0]?.path).toBe('/users?contains=a%26b&limit=5')
  })

  it('may be answered by nothing', async () => {
    handler = () => [204]
    await expect(api.channels.leave(1)).resolves.toBeUndefined()
  })

  it('fails with what the server said', async () => {
    handler = () => [409, { code: 'name_taken', message: 'A channel of this name exists.' }]
    await expect(request('POST', '/channels')).rejects.toMatchObject({
      name: 'ApiError',
      status: 409,
      code: 'name_taken',
      message: 'A channel of this name exists.',
      retryAfterMs: null,
    })
  })

  it.each([
    [429, 'rate_limited'],
    [413, 'payload_too_large'],
    [502, 'unavailable'],
    [418, 'unknown'],
  ])('fails with a code when a proxy answers by a page (%i)', async (status, code) => {
    handler = () => [status, '<html>']
    await expect(request('GET', '/users')).rejects.toMatchObject({ status, code })
  })

  it('knows how long to wait', async () => {
    handler = () => [429, { code: 'rate_limited', retry_after_ms: 250 }, { 'Retry-After': '1' }]
    await expect(request('GET', '/users')).rejects.toMatchObject({ retryAfterMs: 250 })
    handler = () => [503, '', { 'Retry-After': '3' }]
    await expect(request('GET', '/users')).rejects.toMatchObject({ retryAfterMs: 3000 })
    expect(retryAfter('Sat, 31 Jan 2026 12:00:05 GMT', Date.UTC(2026, 0, 31, 12))).toBe(5000)
    expect(retryAfter('soon')).toBeNull()
    expect(retryAfter(null)).toBeNull()
    expect(retryAfter('')).toBeNull()
  })

  it('fails as network when no answer comes, as timeout when it takes too long', async () => {
    handler = () => Promise.reject(new TypeError('Failed to fetch'))
    await expect(request('GET', '/users')).rejects.toMatchObject({ status: 0, code: 'network' })
    handler = () => new Promise(() => undefined)
    const late = request('GET', '/users')
    const expected = expect(late).rejects.toMatchObject({ status: 0, code: 'timeout' })
    await vi.advanceTimersByTimeAsync(15_000)
    await expected
  })

  it('that the caller gave up is not a failure of the network', async () => {
    handler = () => new Promise(() => undefined)
    const stop = new AbortController()
    const search = api.users.list({ contains: 'a' }, stop.signal)
    const expected = expect(search).rejects.toMatchObject({ name: 'AbortError' })
    stop.abort()
    await expected
  })

  it('fails when the answer is no JSON', async () => {
    handler = () => [200, '<html>']
    await expect(request('GET', '/users')).rejects.toMatchObject({ status: 200, code: 'unknown' })
  })
})

describe('an access token that has expired', () => {
  let valid: boolean
  let refreshed: Answer

  beforeEach(() => {
    valid = false
    refreshed = [200, { status: 'refreshed', access_token: 'new' }]
    handler = (path) => {
      if (path === '/auth/refresh') {
        valid = refreshed[0] === 200
        return refreshed
      }
      return valid ? [200, []] : [401, { code: 'unauthenticated', message: '' }]
    }
  })

  it('is renewed, and the request is repeated', async () => {
    expect(await api.channels.list()).toEqual([])
    expect(calls.map(({ path }) => path)).toEqual(['/channels', '/auth/refresh', '/channels'])
  })

  it('is renewed once for all requests of the page', async () => {
    await Promise.all([api.channels.list(), api.users.list(), api.messages.page(1)])
    expect(count('/auth/refresh')).toBe(1)
  })

  it('is renewed by one tab for all: the others wait for their turn', async () => {
    const order: string[] = []
    vi.stubGlobal('navigator', {
      locks: {
        request: async (name: string, work: () => Promise<unknown>) => {
          order.push(name)
          // Another tab had the lock, and renewed the tokens.
          valid = true
          vi.advanceTimersByTime(5)
          localStorage.setItem('storm.refreshedAt', String(Date.now()))
          return work()
        },
      },
    })
    expect(await api.channels.list()).toEqual([])
    expect(order).toEqual(['storm.refresh'])
    expect(count('/auth/refresh')).toBe(0)
    vi.unstubAllGlobals()
  })

  it('that cannot be renewed ends the login, and is told of', async () => {
    const ended = vi.fn()
    api.onSessionEnded(ended)
    refreshed = [401, { code: 'unauthenticated', message: '' }]
    await expect(api.channels.list()).rejects.toMatchObject({ status: 401 })
    expect(ended).toHaveBeenCalledOnce()
    expect(count('/channels')).toBe(1)
  })

  it('ends no login when the server cannot say', async () => {
    const ended = vi.fn()
    api.onSessionEnded(ended)
    refreshed = [429, { code: 'rate_limited', message: '', retry_after_ms: 9000 }]
    await expect(api.channels.list()).rejects.toMatchObject({
      code: 'rate_limited',
      retryAfterMs: 9000,
    })
    expect(ended).not.toHaveBeenCalled()
  })

  it('is renewed for the connection, one after the other', async () => {
    const tokens = await Promise.all([api.renewAccessToken(), api.renewAccessToken()])
    expect(tokens).toEqual(['new', 'new'])
    refreshed = [401]
    expect(await api.renewAccessToken()).toBeNull()
    expect(localStorage.getItem('storm.refreshedAt')).toMatch(/^\d+$/)
    expect(localStorage).toHaveLength(1)
  })

  it('is renewed without storage too', async () => {
    vi.spyOn(Storage.prototype, 'getItem').mockImplementation(() => {
      throw new Error('refused')
    })
    vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
      throw new Error('refused')
    })
    expect(await api.channels.list()).toEqual([])
  })

  it('is renewed where storage is refused, and locks with it', async () => {
    const request = () => Promise.reject(new DOMException('storage', 'SecurityError'))
    vi.stubGlobal('navigator', { locks: { request } })
    expect(await api.channels.list()).toEqual([])
    expect(count('/auth/refresh')).toBe(1)
    vi.unstubAllGlobals()
  })
})

describe('the resources', () => {
  const cases: [string, () => Promise<unknown>][] = [
    ['GET /users/a%2Bb', () => api.users.get('a+b')],
    ['GET /channels/3', () => api.channels.get(3)],
    ['PATCH /channels/3', () => api.channels.update(3, { topic: '' })],
    ['POST /direct', () => api.channels.openDirect('ann')],
    [
      'GET /channels/3/members?after=ann&limit=5',
      () => api.members.list(3, { after: 'ann', limit: 5 }),
    ],
    ['PATCH /channels/3/members/a%40b', () => api.members.setRole(3, 'a@b', 'owner')],
    ['DELETE /channels/3/members/ann', () => api.members.remove(3, 'ann')],
    ['PUT /channels/3/bans/ann', () => api.members.ban(3, 'ann')],
    ['DELETE /channels/3/bans/ann', () => api.members.unban(3, 'ann')],
    ['GET /channels/3/bans', () => api.members.bans(3)],
    [
      'GET /channels/3/messages?before=9&limit=2',
      () => api.messages.page(3, { before: 9, limit: 2 }),
    ],
    ['GET /server/nodes', () => api.server.nodes()],
    ['GET /server/channels?contains=x', () => api.server.channels({ contains: 'x' })],
    ['PATCH /users/ann', () => api.server.setAdmin('ann', true)],
    ['PUT /server/bans/ann', () => api.server.ban('ann')],
    ['DELETE /server/bans/ann', () => api.server.unban('ann')],
  ]

  it.each(cases)('ask by %s', async (expected, ask) => {
    await ask()
    expect(calls.map(({ path, init }) => `${init.method ?? ''} ${path}`)).toEqual([expected])
  })
})

describe('anything that was thrown', () => {
  it('becomes an ApiError', () => {
    expect(asApiError({ code: 'banned', message: 'No.', retryAfterMs: 5 })).toMatchObject({
      code: 'banned',
      message: 'No.',
      retryAfterMs: 5,
    })
    expect(asApiError({ code: 'banned' })).toMatchObject({ message: '', retryAfterMs: null })
    expect(asApiError('what')).toMatchObject({ code: 'unknown', message: 'what' })
  })
})
