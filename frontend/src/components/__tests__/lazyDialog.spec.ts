import { flushPromises, mount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { defineComponent, h, ref } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { lazyDialog } from '@/components/lazyDialog'
import { i18n, setLocale } from '@/i18n'
import { useChannelsStore } from '@/stores/channels'
import { useMembersStore } from '@/stores/members'
import { useUsersStore } from '@/stores/users'

import { entryOf } from './entries'

// Each of them is made when it is opened first: what it does when it opens must not wait for a
// second time.

beforeEach(async () => {
  await setLocale('en')
  setActivePinia(createPinia())
  vi.spyOn(useUsersStore(), 'search').mockResolvedValue([])
  useChannelsStore().byId.set(
    7,
    entryOf(7, { name: 'plans', topic: 'What next', visibility: 'private', role: 'owner' }),
  )
})
afterEach(() => (document.body.innerHTML = ''))

async function openFirst(dialog: ReturnType<typeof lazyDialog>): Promise<void> {
  const open = ref(false)
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [{ path: '/:rest(.*)*', component: { template: '<i />' } }],
  })
  const page = defineComponent({ render: () => h(dialog, { open: open.value, channelId: 7 }) })
  mount(page, { attachTo: document.body, global: { plugins: [i18n, router] } })
  open.value = true
  await vi.dynamicImportSettled()
  await flushPromises()
}

it('lists the channels the first time that one browses', async () => {
  const browse = vi.spyOn(useChannelsStore(), 'browse').mockResolvedValue([entryOf(9)])
  await openFirst(lazyDialog(() => import('@/components/ChannelBrowseDialog.vue')))
  await vi.waitFor(() => expect(document.body.textContent).toContain('channel-9'))
  expect(browse).toHaveBeenCalledOnce()
})

it('shows a channel’s settings as they are the first time, so that saving changes nothing else', async () => {
  await openFirst(lazyDialog(() => import('@/components/ChannelSettingsDialog.vue')))
  const fields = [...document.querySelectorAll<HTMLInputElement>('input:not([type="checkbox"])')]
  expect(fields.map(({ value }) => value)).toEqual(['plans', 'What next'])
  expect(document.querySelector('[role="switch"]')?.getAttribute('aria-checked')).toBe('true')
})

it('knows who is a member the first time that one invites', async () => {
  const load = vi.spyOn(useMembersStore(), 'load').mockResolvedValue()
  await openFirst(lazyDialog(() => import('@/components/ChannelInviteDialog.vue')))
  expect(load).toHaveBeenCalledWith(7)
})

it('knows the other public channels the first time that one looks for one', async () => {
  const browse = vi.spyOn(useChannelsStore(), 'browse').mockResolvedValue([])
  await openFirst(lazyDialog(() => import('@/components/QuickSwitcher.vue')))
  expect(browse).toHaveBeenCalledOnce()
})
