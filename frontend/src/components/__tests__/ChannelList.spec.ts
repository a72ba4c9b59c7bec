import { mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { nextTick } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { ApiError } from '@/api'
import ChannelList from '@/components/ChannelList.vue'
import { i18n, setLocale } from '@/i18n'
import { useChannelsStore, type ChannelEntry } from '@/stores/channels'
import { useDraftsStore } from '@/stores/drafts'
import { useMessagesStore } from '@/stores/messages'
import { usePresenceStore } from '@/stores/presence'
import { useUsersStore } from '@/stores/users'

import { entryOf } from './entries'

let wrapper: VueWrapper

function open(...entries: ChannelEntry[]): void {
  const channels = useChannelsStore()
  for (const entry of entries) channels.byId.set(entry.id, entry)
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [{ path: '/:rest(.*)*', component: { template: '<i />' } }],
  })
  wrapper = mount(ChannelList, { global: { plugins: [i18n, router] } })
}
const link = (name: string) => {
  const found = wrapper.findAll('a').find((each) => each.text().includes(name))
  if (!found) throw new Error(`no ${name} in the list`)
  return found
}

beforeEach(async () => {
  await setLocale('en')
  setActivePinia(createPinia())
  useUsersStore().learn([{ id: 'bob', display_name: 'Bob' }])
})
afterEach(() => wrapper.unmount())

describe('the list of channels', () => {
  it('has direct messages apart, and first', () => {
    open(entryOf(1, { name: 'general' }), entryOf(2, { visibility: 'direct', peer: 'bob' }))
    expect(wrapper.findAll('h2').map((each) => each.text())).toEqual([
      'Direct messages',
      'Channels',
    ])
    expect(wrapper.findAll('a').map((each) => each.attributes('href'))).toEqual(['/c/2', '/c/1'])
  })

  it('leaves out a group that is empty', () => {
    open(entryOf(1))
    expect(wrapper.findAll('h2').map((each) => each.text())).toEqual(['Channels'])
  })

  it('counts what calls the user before what is merely unread', () => {
    open(
      entryOf(1, { name: 'calls', unread: 9, mentions: 2 }),
      entryOf(2, { name: 'reads', unread: 3 }),
      entryOf(3, { name: 'many', unread: 400 }),
    )
    expect(link('calls').text()).toContain('2 messages for you')
    expect(link('reads').text()).toContain('3 unread messages')
    expect(link('many').get('.tabular-nums').text()).toContain('99+')
  })

  it('counts nothing where the user is, nor what is muted, except what calls', () => {
    const active = entryOf(1, { name: 'active', unread: 3 })
    useChannelsStore().activeId = 1
    open(
      active,
      entryOf(2, { name: 'quiet', unread: 3, muted: true }),
      entryOf(3, { name: 'calling', unread: 3, mentions: 1, muted: true }),
    )
    expect(link('active').attributes('aria-current')).toBe('page')
    expect(link('active').text()).not.toContain('unread')
    expect(link('quiet').text()).not.toContain('unread')
    expect(link('calling').text()).toContain('1 message for you')
  })

  it('shows who of the direct ones is online', async () => {
    open(entryOf(1, { visibility: 'direct', peer: 'bob' }))
    expect(link('Bob').text()).not.toContain('Online')
    usePresenceStore().apply({ type: 'presence', channel_id: 1, online: 1, users: ['bob'] })
    await nextTick()
    expect(link('Bob').text()).toContain('Online')
  })

  it('reminds of a draft elsewhere', () => {
    vi.spyOn(useDraftsStore(), 'get').mockImplementation((id) => (id === 1 ? 'half a though' : ' '))
    open(entryOf(1, { name: 'begun' }), entryOf(2, { name: 'untouched' }))
    expect(link('begun').text()).toContain('Draft')
    expect(link('untouched').text()).not.toContain('Draft')
  })

  it('says where something was refused, which one would not see from elsewhere', () => {
    open(entryOf(1, { name: 'refused' }), entryOf(2, { name: 'fine' }))
    useMessagesStore().outboxChanged([
      {
        ref: 'r',
        user_id: 'me',
        channel_id: 1,
        payload: 'too late',
        created_at: '2026-01-31T12:00:00.000Z',
        state: 'failed',
        error: { code: 'forbidden', message: '' },
      },
    ])
    return nextTick(() => {
      expect(link('refused').text()).toContain('Not sent')
      expect(link('fine').text()).not.toContain('Not sent')
    })
  })

  it('offers to browse or to create when there is none', () => {
    open()
    expect(wrapper.text()).toContain('No channel yet')
    expect(wrapper.findAll('button').map((each) => each.text())).toEqual([
      'Browse channels',
      'Create a channel',
    ])
  })

  it('says that it loads', () => {
    useChannelsStore().loading = true
    open()
    expect(wrapper.get('[role="status"]').text()).toBe('Loading your channels…')
    expect(wrapper.text()).not.toContain('No channel yet')
  })

  it('says why it could not be loaded, and tries again', async () => {
    const channels = useChannelsStore()
    const load = vi.spyOn(channels, 'load').mockResolvedValue()
    channels.error = new ApiError(503, 'unavailable', '')
    open()
    expect(wrapper.get('[role="alert"]').text()).toContain('The server cannot answer right now.')
    await wrapper.get('button').trigger('click')
    expect(load).toHaveBeenCalledOnce()
  })

  it('keeps what it has when it could not be loaded anew', () => {
    useChannelsStore().error = new ApiError(503, 'unavailable', '')
    open(entryOf(1, { name: 'still-here' }))
    expect(link('still-here').exists()).toBe(true)
  })
})
