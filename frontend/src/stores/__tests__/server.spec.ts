import { beforeEach, describe, expect, it, vi } from 'vitest'

import { useServerStore } from '../server'
import { answer, FakeApi, newBrowser, settle } from './fakes'

vi.mock('@/realtime', async () => (await import('./fakes')).fakeRealtime)

let server: FakeApi
const user = (id: string) => ({ id, admin: false, banned_at: null })

beforeEach(() => {
  newBrowser()
  server = new FakeApi()
})

describe('the nodes', () => {
  it('are asked for while somebody looks, and no longer', async () => {
    server.on('GET /server/nodes', () => [{ node: 'node-1' }])
    const store = useServerStore()
    const ends = [store.watchNodes(), store.watchNodes()]
    await settle()
    expect(store.nodes).toEqual([{ node: 'node-1' }])
    await vi.advanceTimersByTimeAsync(4000)
    expect(server.calls).toHaveLength(3)
    ends[0]?.()
    ends[0]?.()
    await vi.advanceTimersByTimeAsync(2000)
    expect(server.calls).toHaveLength(4)
    ends[1]?.()
    await vi.advanceTimersByTimeAsync(9000)
    expect(server.calls).toHaveLength(4)
  })

  it('are not asked for while the page is hidden', async () => {
    vi.spyOn(document, 'hidden', 'get').mockReturnValue(true)
    const end = useServerStore().watchNodes()
    await vi.advanceTimersByTimeAsync(4000)
    expect(server.calls).toEqual([])
    end()
  })

  it('are the last known ones when the server does not answer', async () => {
    server.on('GET /server/nodes', () => [{ node: 'node-1' }])
    const store = useServerStore()
    await store.loadNodes()
    server.on('GET /server/nodes', () => answer(503))
    await store.loadNodes()
    expect(store.nodes).toHaveLength(1)
    expect(store.nodesError?.code).toBe('unavailable')
  })
})

describe('users and channels', () => {
  it('are searched page by page', async () => {
    const all = Array.from({ length: 70 }, (_, n) => user(`u${10 + n}`))
    server.on('GET /users', (url) => {
      const after = url.searchParams.get('after') ?? ''
      return all.filter(({ id }) => id > after).slice(0, 50)
    })
    const store = useServerStore()
    await store.searchUsers(' u ')
    expect(server.calls).toEqual(['GET /users?contains=u&limit=50'])
    expect([store.users.length, store.hasMoreUsers]).toEqual([50, true])
    await store.moreUsers()
    expect([store.users.length, store.hasMoreUsers]).toEqual([70, false])
    await store.moreUsers()
    expect(server.calls).toHaveLength(2)
  })

  it('show the last search, whichever answer comes last', async () => {
    const waiting: (() => void)[] = []
    server.on('GET /users', async (url) => {
      await new Promise<void>((go) => waiting.push(go))
      if (url.searchParams.get('contains') === 'broken') return answer(500)
      return [user(url.searchParams.get('contains') ?? '')]
    })
    const store = useServerStore()
    const searches = ['old', 'broken', 'new'].map((text) => store.searchUsers(text))
    await settle()
    for (const go of waiting.reverse()) go()
    await Promise.all(searches)
    expect(store.users.map(({ id }) => id)).toEqual(['new'])
    expect(store.usersPhase).toBe('ready')
  })

  it('say why they cannot be shown', async () => {
    server.on('GET /server/channels', () => answer(403, { code: 'forbidden' }))
    const store = useServerStore()
    await store.searchChannels('')
    expect([store.channelsPhase, store.channelsError?.code]).toEqual(['error', 'forbidden'])
  })

  it('are changed, and the list shows it', async () => {
    server.on('GET /users', () => [user('ann'), user('bob')])
    server.on('GET /server/channels', () => [{ id: 1 }, { id: 2 }])
    server.on('PATCH /users/:id', () => ({ ...user('ann'), admin: true }))
    for (const method of ['PUT', 'DELETE']) {
      server.on(`${method} /server/bans/:id`, () => answer(204))
    }
    server.on('DELETE /channels/:id', () => answer(204))
    const store = useServerStore()
    await store.searchUsers('')
    await store.searchChannels('')
    await store.setAdmin('ann', true)
    expect(store.users[0]?.admin).toBe(true)
    await store.ban('bob')
    expect(store.users[1]?.banned_at).not.toBeNull()
    await store.unban('bob')
    expect(store.users[1]?.banned_at).toBeNull()
    await store.deleteChannel(1)
    expect(store.channels).toEqual([{ id: 2 }])
  })
})
