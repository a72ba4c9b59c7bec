import { createPinia, setActivePinia } from 'pinia'
import { beforeEach, describe, expect, it, vi } from 'vitest'

import { makeRouter } from '@/router'
import { useSessionStore } from '@/stores/session'

// What the pages show is not looked at here, and takes long to load.
vi.mock('@/views/ChatView.vue', () => ({ default: { template: '<main />' } }))
vi.mock('@/views/SettingsView.vue', () => ({ default: { template: '<main />' } }))
vi.mock('@/views/AdminView.vue', () => ({ default: { template: '<main />' } }))
vi.mock('@/components/ChannelPane.vue', () => ({ default: { template: '<i />' } }))

beforeEach(() => {
  setActivePinia(createPinia())
  history.replaceState(null, '', '/nowhere')
})

function routerOf(phase: 'anonymous' | 'authenticated') {
  useSessionStore().phase = phase
  return makeRouter(Promise.resolve())
}

describe('a stranger', () => {
  it.each(['/', '/c/12?at=3', '/settings', '/admin'])(
    'is asked to log in at %s, and the way back is kept',
    async (path) => {
      const router = routerOf('anonymous')
      await router.push(path)
      expect(router.currentRoute.value.name).toBe('login')
      expect(router.currentRoute.value.query.next).toBe(path)
    },
  )

  it('may see the login, the sign-up and that there is nothing', async () => {
    const router = routerOf('anonymous')
    for (const [path, name] of [
      ['/login', 'login'],
      ['/register', 'register'],
      ['/no/such/page', 'unknown'],
    ] as const) {
      await router.push(path)
      expect(router.currentRoute.value.name).toBe(name)
    }
  })
})

describe('somebody who is logged in', () => {
  it('gets where the login should lead, instead of the login', async () => {
    const router = routerOf('authenticated')
    await router.push('/login?next=/c/5')
    expect(router.currentRoute.value.fullPath).toBe('/c/5')
  })

  it('is never led to another host', async () => {
    const router = routerOf('authenticated')
    await router.push('/login?next=//evil.example/')
    expect(router.currentRoute.value.fullPath).toBe('/')
  })

  it('finds a channel by its number only', async () => {
    const router = routerOf('authenticated')
    await router.push('/c/12')
    expect(router.currentRoute.value.name).toBe('channel')
    await router.push('/c/general')
    expect(router.currentRoute.value.name).toBe('unknown')
  })
})

it('decides nothing before it is known who is there', async () => {
  let known!: () => void
  const router = makeRouter(new Promise((resolve) => (known = resolve)))
  const arrived = router.push('/settings')
  useSessionStore().phase = 'authenticated'
  known()
  await arrived
  expect(router.currentRoute.value.name).toBe('settings')
})
