import { mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { server as api, channels as channelsApi, ApiError } from '@/api'
import AdminChannels from '@/components/AdminChannels.vue'
import AdminNodes from '@/components/AdminNodes.vue'
import AdminUsers from '@/components/AdminUsers.vue'
import { i18n, setLocale } from '@/i18n'
import { useServerStore, type ServerNode, type ServerUser } from '@/stores/server'
import { useSessionStore } from '@/stores/session'
import { useToastsStore } from '@/stores/toasts'

let wrapper: VueWrapper
const toasts = () => useToastsStore().items.map(({ text }) => text)

const node = (name: string, some: Partial<ServerNode> = {}): ServerNode => ({
  node: name,
  version: '1.2.3',
  ready: true,
  started_at: '2026-01-31T10:00:00.000Z',
  connections: 1_000,
  subscriptions: 2_000,
  messages_per_second: 2.5,
  deliveries_per_second: 400,
  slow_consumers: 1,
  loop_lag_seconds: 0.004,
  memory_bytes: 100 * 1024 ** 2,
  ...some,
})
// As the gateway tells it: without `banned_at` for whoever is not banned.
const user = (id: string, some: Partial<ServerUser> = {}): ServerUser =>
  ({
    id,
    display_name: id.toUpperCase(),
    created_at: '2026-01-31T10:00:00.000Z',
    admin: false,
    ...some,
  }) as ServerUser

const press = async (text: string): Promise<void> => {
  const found = [...document.querySelectorAll('[role="dialog"] button')].find(
    (each) => each.textContent.trim() === text,
  )
  if (!found) throw new Error(`there is no button ${text}`)
  found.dispatchEvent(new MouseEvent('click', { bubbles: true }))
  await settle()
}
const settle = () => vi.advanceTimersByTimeAsync(0)

beforeEach(async () => {
  vi.useFakeTimers({ now: Date.parse('2026-01-31T12:00:00.000Z') })
  await setLocale('en')
  setActivePinia(createPinia())
  useSessionStore().user = { id: 'root', display_name: 'Root', created_at: '', admin: true }
})
afterEach(() => {
  wrapper.unmount()
  document.body.innerHTML = ''
  vi.useRealTimers()
})

describe('the nodes', () => {
  const total = (name: string) => wrapper.get(`[data-total="${name}"] dd`).text()

  async function show(...nodes: ServerNode[]) {
    const ask = vi.spyOn(api, 'nodes').mockResolvedValue(nodes)
    wrapper = mount(AdminNodes, { global: { plugins: [i18n] }, attachTo: document.body })
    await settle()
    return ask
  }

  it('are added up', async () => {
    await show(node('a'), node('b', { ready: false, connections: 234 }))
    expect(total('nodes')).toBe('1 of 2')
    expect(total('connections')).toBe('1,234')
    expect(total('messages')).toBe('5')
    expect(total('deliveries')).toBe('800')
    expect(total('slow')).toBe('2')
    expect(total('memory')).toBe('200 MB')
  })

  it('stand in a table, each in a row', async () => {
    await show(node('a', { loop_lag_seconds: 0.25 }), node('b', { ready: false, memory_bytes: 0 }))
    const cells = wrapper
      .findAll('tbody tr')
      .map((row) => row.findAll('td').map((cell) => cell.text().replace(/\s/g, ' ')))
    expect(cells).toEqual([
      ['Ready', '2 hr', '1,000', '2.5', '', '400', '1', '250 ms', '100 MB'],
      ['Not ready', '2 hr', '1,000', '2.5', '', '400', '1', '4 ms', '–'],
    ])
  })

  it('are asked for again every two seconds, and no more when one leaves', async () => {
    const ask = await show(node('a'))
    await vi.advanceTimersByTimeAsync(6_000)
    expect(ask).toHaveBeenCalledTimes(4)
    wrapper.unmount()
    await vi.advanceTimersByTimeAsync(6_000)
    expect(ask).toHaveBeenCalledTimes(4)
  })

  it('have a line of their rates, which grows with each look', async () => {
    await show(node('a'))
    const points = () => wrapper.get('tbody polyline').attributes('points')?.split(' ').length ?? 0
    expect(points()).toBe(1)
    await vi.advanceTimersByTimeAsync(4_000)
    vi.spyOn(api, 'nodes').mockResolvedValue([node('a', { messages_per_second: 9 })])
    await vi.advanceTimersByTimeAsync(2_000)
    expect(points()).toBe(2)
  })

  it('stay in sight, with a warning, when the server does not answer', async () => {
    await show(node('a'))
    vi.spyOn(api, 'nodes').mockRejectedValue(new ApiError(0, 'network', ''))
    await vi.advanceTimersByTimeAsync(2_000)
    expect(wrapper.get('[role="alert"]').text()).toBe(
      'What you see may be out of date. The server cannot be reached. Check your connection.',
    )
    expect(wrapper.findAll('tbody tr')).toHaveLength(1)
  })
})

describe('the users', () => {
  async function show(...users: ServerUser[]) {
    const ask = vi.spyOn(api, 'users').mockResolvedValue(users)
    wrapper = mount(AdminUsers, { global: { plugins: [i18n] }, attachTo: document.body })
    await settle()
    return ask
  }
  const row = (id: string) => wrapper.get(`[data-user="${id}"]`)

  it('are searched when one pauses in typing', async () => {
    const ask = await show(user('bob'))
    await wrapper.get('input').setValue('b')
    await wrapper.get('input').setValue('bo')
    await vi.advanceTimersByTimeAsync(250)
    expect(ask.mock.calls.map(([query]) => query?.contains)).toEqual(['', 'bo'])
  })

  it('go on with the next page', async () => {
    const many = Array.from({ length: 50 }, (_, n) => user(`user${n}`))
    const ask = await show(...many)
    ask.mockResolvedValue([user('zoe')])
    await wrapper.findAll('button').at(-1)?.trigger('click')
    await settle()
    expect(ask.mock.lastCall?.[0]).toMatchObject({ after: 'user49' })
    expect(wrapper.findAll('[data-user]')).toHaveLength(51)
  })

  it('become administrators by their switch', async () => {
    const set = vi.spyOn(api, 'setAdmin').mockResolvedValue(user('bob', { admin: true }))
    await show(user('bob'))
    await row('bob').get('[role="switch"]').trigger('click')
    await settle()
    expect(set).toHaveBeenCalledExactlyOnceWith('bob', true)
    expect(row('bob').get('[role="switch"]').attributes('aria-checked')).toBe('true')
    expect(toasts()).toEqual(['BOB is an administrator now.'])
  })

  it('stay what they were when that is refused', async () => {
    vi.spyOn(api, 'setAdmin').mockRejectedValue(new ApiError(409, 'conflict', ''))
    await show(user('bob'))
    await row('bob').get('[role="switch"]').trigger('click')
    await settle()
    expect(row('bob').get('[role="switch"]').attributes('aria-checked')).toBe('false')
    expect(toasts()[0]).toContain('not possible right now')
  })

  it('are banned only after a question', async () => {
    const ban = vi.spyOn(api, 'ban').mockResolvedValue()
    await show(user('bob'))
    await row('bob').get('button[aria-label^="Ban BOB"]').trigger('click')
    await settle()
    expect(ban).not.toHaveBeenCalled()
    await press('Ban')
    expect(ban).toHaveBeenCalledExactlyOnceWith('bob')
    expect(row('bob').text()).toContain('banned')
    expect(document.querySelector('[role="dialog"]')).toBeNull()
  })

  it('may come back when the ban is lifted', async () => {
    const unban = vi.spyOn(api, 'unban').mockResolvedValue()
    await show(user('bob', { banned_at: '2026-01-30T10:00:00.000Z' }))
    expect(row('bob').get('[role="switch"]').attributes('disabled')).toBeDefined()
    await row('bob').get('button[aria-label^="Lift"]').trigger('click')
    await settle()
    expect(unban).toHaveBeenCalledExactlyOnceWith('bob')
    expect(row('bob').text()).not.toContain('banned')
  })

  it('cannot lock themselves out', async () => {
    await show(user('root', { admin: true }))
    expect(row('root').get('[role="switch"]').attributes('disabled')).toBeDefined()
    expect(row('root').find('button[aria-label^="Ban"]').exists()).toBe(false)
  })

  it('can be asked for again after a fault', async () => {
    const ask = vi.spyOn(api, 'users').mockRejectedValue(new ApiError(503, 'unavailable', ''))
    wrapper = mount(AdminUsers, { global: { plugins: [i18n] }, attachTo: document.body })
    await settle()
    expect(wrapper.get('[role="alert"]').text()).toContain('cannot answer right now')
    ask.mockResolvedValue([user('bob')])
    await wrapper.get('[role="alert"] button').trigger('click')
    await settle()
    expect(wrapper.findAll('[data-user]')).toHaveLength(1)
  })
})

describe('the channels', () => {
  it('are deleted only after a question', async () => {
    const channel = {
      id: 3,
      name: 'gardening',
      topic: 'What grows',
      visibility: 'private' as const,
      created_by: 'bob',
      created_at: '2026-01-31T10:00:00.000Z',
      head: 1_204,
      member_count: 1,
    }
    vi.spyOn(api, 'channels').mockResolvedValue([channel])
    const remove = vi.spyOn(channelsApi, 'remove').mockResolvedValue()
    wrapper = mount(AdminChannels, { global: { plugins: [i18n] }, attachTo: document.body })
    await settle()
    const text = wrapper.get('[data-channel="3"]').text()
    for (const part of ['gardening', 'What grows', 'Private', '1 member', '1,204 events'])
      expect(text).toContain(part)
    await wrapper.get('[aria-label="Delete the channel gardening"]').trigger('click')
    await settle()
    expect(remove).not.toHaveBeenCalled()
    await press('Delete for good')
    expect(remove).toHaveBeenCalledExactlyOnceWith(3)
    expect(useServerStore().channels).toEqual([])
    expect(wrapper.text()).toContain('Nothing was found.')
  })
})
