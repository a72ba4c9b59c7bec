import { flushPromises, mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { createMemoryHistory, createRouter, type Router } from 'vue-router'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { ApiError } from '@/api'
import ChannelNone from '@/components/ChannelNone.vue'
import { i18n, setLocale } from '@/i18n'
import { useChannelsStore } from '@/stores/channels'

import { entryOf } from './entries'

let wrapper: VueWrapper
let router: Router
const place = () => router.currentRoute.value.fullPath

async function open(): Promise<void> {
  router = createRouter({
    history: createMemoryHistory(),
    routes: [{ path: '/:rest(.*)*', component: { template: '<i />' } }],
  })
  await router.push('/')
  wrapper = mount(ChannelNone, { global: { plugins: [i18n, router] } })
  await flushPromises()
}

beforeEach(async () => {
  await setLocale('en')
  setActivePinia(createPinia())
  const channels = useChannelsStore()
  channels.loaded = true
  vi.spyOn(channels, 'lastOpened').mockReturnValue(null)
  vi.spyOn(channels, 'browse').mockResolvedValue([])
})
afterEach(() => wrapper.unmount())

describe('without a channel in the address', () => {
  it('one is where one was last', async () => {
    vi.mocked(useChannelsStore().lastOpened).mockReturnValue(7)
    await open()
    expect(place()).toBe('/c/7')
  })

  it('in a new browser one is where everybody is, rather than in the first of the list', async () => {
    for (const id of [3, 1]) useChannelsStore().byId.set(id, entryOf(id, { name: `c${9 - id}` }))
    await open()
    expect(place()).toBe('/c/1')
  })

  it('one who left there is in a channel of theirs', async () => {
    useChannelsStore().byId.set(3, entryOf(3))
    await open()
    expect(place()).toBe('/c/3')
  })

  it('a newcomer is where everybody is', async () => {
    vi.mocked(useChannelsStore().browse).mockResolvedValue([entryOf(1, { role: null })])
    await open()
    expect(place()).toBe('/c/1')
  })

  it('a newcomer where that channel is gone may browse or create one', async () => {
    await open()
    expect(place()).toBe('/')
    expect(wrapper.text()).toContain('No channel yet')
    expect(wrapper.text()).toContain('Browse channels')
  })

  it('whoever waits is led into the first channel that somebody invites them to', async () => {
    await open()
    useChannelsStore().byId.set(4, entryOf(4))
    await flushPromises()
    expect(place()).toBe('/c/4')
  })

  it('nothing is decided before the list is there', async () => {
    useChannelsStore().loaded = false
    await open()
    expect(wrapper.get('[role="status"]').text()).toBe('Loading your channels…')
    useChannelsStore().byId.set(2, entryOf(2))
    useChannelsStore().loaded = true
    await flushPromises()
    expect(place()).toBe('/c/2')
  })

  it('one is told why there is no list, and may try again', async () => {
    const channels = useChannelsStore()
    const load = vi.spyOn(channels, 'load').mockResolvedValue()
    channels.loaded = false
    channels.error = new ApiError(0, 'network', '')
    await open()
    expect(wrapper.get('[role="alert"]').text()).toContain('The server cannot be reached.')
    await wrapper.get('[role="alert"] button').trigger('click')
    expect(load).toHaveBeenCalledOnce()
  })
})
