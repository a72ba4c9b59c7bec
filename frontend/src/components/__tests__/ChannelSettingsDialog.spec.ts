import { DOMWrapper, flushPromises, mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { createMemoryHistory, createRouter, type Router } from 'vue-router'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { ApiError } from '@/api'
import ChannelSettingsDialog from '@/components/ChannelSettingsDialog.vue'
import { i18n, setLocale } from '@/i18n'
import { useChannelsStore, type ChannelEntry } from '@/stores/channels'
import { useSessionStore } from '@/stores/session'

import { entryOf } from './entries'

let wrapper: VueWrapper
let router: Router

async function open(role: ChannelEntry['role'], admin = false): Promise<void> {
  useChannelsStore().byId.set(
    5,
    entryOf(5, { name: 'gardening', topic: 'What grows', visibility: 'private', role }),
  )
  useSessionStore().user = { id: 'me', display_name: 'Me', created_at: '', admin }
  router = createRouter({
    history: createMemoryHistory(),
    routes: [{ path: '/:rest(.*)*', component: { template: '<i />' } }],
  })
  await router.push('/c/5')
  wrapper = mount(ChannelSettingsDialog, {
    props: { channelId: 5, open: false },
    global: { plugins: [i18n, router] },
    attachTo: document.body,
  })
  await wrapper.setProps({ open: true })
  await flushPromises()
}

// The dialog is outside of the component's own elements.
const page = () => new DOMWrapper(document.body)
const button = (text: string) =>
  page()
    .findAll('button')
    .find((each) => each.text() === text)
const press = async (text: string) => {
  const found = button(text)
  if (!found) throw new Error(`no button ${text}`)
  await found.trigger('click')
  await flushPromises()
}
const inputs = () => page().findAll<HTMLInputElement>('input:not([type="checkbox"])')
const submit = async () => {
  await page().get('form').trigger('submit')
  await flushPromises()
}

beforeEach(async () => {
  await setLocale('en')
  setActivePinia(createPinia())
})
afterEach(() => {
  wrapper.unmount()
  document.body.innerHTML = ''
})

describe('the settings of a channel', () => {
  it('show its owner what it is, and save what was changed', async () => {
    await open('owner')
    const update = vi.spyOn(useChannelsStore(), 'update').mockResolvedValue(entryOf(5))
    expect(inputs().map(({ element }) => element.value)).toEqual(['gardening', 'What grows'])
    await inputs()[0]?.setValue('  vegetables ')
    await submit()
    expect(update.mock.calls).toEqual([
      [5, { name: 'vegetables', topic: 'What grows', visibility: 'private' }],
    ])
    expect(wrapper.emitted('update:open')?.at(-1)).toEqual([false])
  })

  it('need a name', async () => {
    await open('owner')
    const update = vi.spyOn(useChannelsStore(), 'update').mockResolvedValue(entryOf(5))
    await inputs()[0]?.setValue('   ')
    await submit()
    expect(page().text()).toContain('A channel needs a name.')
    expect(update).not.toHaveBeenCalled()
  })

  it('tell at the field that the name is taken, and stay open', async () => {
    await open('owner')
    vi.spyOn(useChannelsStore(), 'update').mockRejectedValue(new ApiError(409, 'name_taken', ''))
    await submit()
    expect(inputs()[0]?.attributes('aria-invalid')).toBe('true')
    expect(wrapper.emitted('update:open')).toBeUndefined()
  })

  it('ask before they delete', async () => {
    await open('owner')
    const remove = vi.spyOn(useChannelsStore(), 'remove').mockResolvedValue()
    await press('Delete')
    expect(remove).not.toHaveBeenCalled()
    expect(page().text()).toContain('This cannot be undone.')
    await press('Delete for good')
    expect(remove.mock.calls).toEqual([[5]])
    expect(router.currentRoute.value.fullPath).toBe('/')
  })

  it('tell the last owner why they cannot leave', async () => {
    await open('owner')
    vi.spyOn(useChannelsStore(), 'leave').mockRejectedValue(new ApiError(409, 'conflict', ''))
    await press('Leave')
    expect(page().get('[role="alert"]').text()).toContain('You are the only owner')
    expect(router.currentRoute.value.fullPath).toBe('/c/5')
  })

  it('let a member leave, and change nothing', async () => {
    await open('member')
    const leave = vi.spyOn(useChannelsStore(), 'leave').mockResolvedValue()
    expect(inputs()).toHaveLength(0)
    expect(button('Delete')).toBeUndefined()
    expect(page().text()).toContain('What grows')
    await press('Leave')
    expect(leave.mock.calls).toEqual([[5]])
    expect(router.currentRoute.value.fullPath).toBe('/')
  })

  it('let an administrator of the server change a channel that is not theirs', async () => {
    await open(null, true)
    expect(inputs()).toHaveLength(2)
    expect(button('Delete')).toBeDefined()
    expect(button('Leave')).toBeUndefined()
  })
})
