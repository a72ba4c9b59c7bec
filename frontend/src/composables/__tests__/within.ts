import { mount, type VueWrapper } from '@vue/test-utils'
import { getActivePinia } from 'pinia'
import { defineComponent, h } from 'vue'
import { createMemoryHistory, createRouter, type Router } from 'vue-router'

import { i18n } from '@/i18n'
import type { Channel } from '@/protocol'
import { useChannelsStore, type ChannelEntry } from '@/stores/channels'

/** The addresses of the page, without the page. */
export function makeTestRouter(): Router {
  const component = { render: () => h('div') }
  return createRouter({
    history: createMemoryHistory(),
    routes: [{ path: '/:rest(.*)*', component }],
  })
}

/** Runs composables in a component of a page. */
export function within(setup: () => void, router = makeTestRouter()): VueWrapper {
  const component = defineComponent({
    setup() {
      setup()
      return () => h('div')
    },
  })
  const pinia = getActivePinia()
  return mount(component, { global: { plugins: [...(pinia ? [pinia] : []), i18n, router] } })
}

/** Adds a channel as if the server had told it. */
export function addChannel(
  id: number,
  more: Partial<Channel> & { mentions?: number; muted?: boolean } = {},
): ChannelEntry {
  const { byId } = useChannelsStore()
  byId.set(id, {
    id,
    name: `channel ${id}`,
    topic: '',
    visibility: 'public',
    created_by: 'bob',
    created_at: '2026-01-31T12:00:00.000Z',
    head: 0,
    member_count: 2,
    role: 'member',
    read_seq: 0,
    unread: 0,
    peer: null,
    mentions: 0,
    muted: false,
    ...more,
  })
  return byId.get(id) as ChannelEntry
}
