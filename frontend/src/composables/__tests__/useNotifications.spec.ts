import type { VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { nextTick } from 'vue'
import type { Router } from 'vue-router'

import { useNotifications } from '@/composables/useNotifications'
import { usePageTitle } from '@/composables/usePageTitle'
import { setLocale } from '@/i18n'
import type { ServerEvent } from '@/protocol'
import type { GatewayClient } from '@/realtime'
import { useGatewayStore } from '@/stores/gateway'
import { usePreferencesStore } from '@/stores/preferences'
import { useSessionStore } from '@/stores/session'
import { useUsersStore } from '@/stores/users'

import { addChannel, makeTestRouter, within } from './within'

class FakeNotification {
  static permission = 'granted'
  static shown: FakeNotification[] = []
  static refuses = false
  onclick: (() => void) | null = null
  closed = false
  constructor(
    readonly title: string,
    readonly options: { body: string; tag: string },
  ) {
    if (FakeNotification.refuses) throw new TypeError('Illegal constructor')
    FakeNotification.shown.push(this)
  }
  close(): void {
    this.closed = true
  }
}

let wrapper: VueWrapper
let router: Router
let hear: ((event: ServerEvent) => void) | null
let away: boolean

const message = (channel_id: number, payload: string, some: object = {}): ServerEvent => ({
  type: 'message',
  channel_id,
  payload,
  user_id: 'bob',
  id: 7,
  seq: 5,
  sent_at: '2026-01-31T12:00:00.000Z',
  ...some,
})
const shown = () => FakeNotification.shown.map(({ title, options }) => `${title}: ${options.body}`)

function tell(...events: ServerEvent[]): void {
  for (const event of events) hear?.(event)
  vi.advanceTimersByTime(1_000)
}

beforeEach(async () => {
  vi.useFakeTimers()
  vi.stubGlobal('Notification', FakeNotification)
  Object.assign(FakeNotification, { shown: [], refuses: false })
  away = true
  vi.spyOn(document, 'hasFocus').mockImplementation(() => !away)
  await setLocale('en')
  setActivePinia(createPinia())
  useSessionStore().user = { id: 'me', display_name: 'Me', created_at: '', admin: false }
  useUsersStore().learn([{ id: 'bob', display_name: 'Bob' }])
  usePreferencesStore().notifications = true
  hear = null
  const client = {
    on(_type: string, listener: (event: ServerEvent) => void) {
      hear = listener
      return () => (hear = null)
    },
  }
  useGatewayStore().client = client as unknown as GatewayClient
  router = makeTestRouter()
  wrapper = within(useNotifications, router)
  addChannel(1, { name: 'general' })
  addChannel(2, { name: '', visibility: 'direct', peer: 'bob' })
})
afterEach(() => {
  wrapper.unmount()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('desktop notifications', () => {
  it('tell mentions and direct messages, and nothing else', () => {
    tell(message(1, 'to nobody'))
    tell(message(1, 'hello @me'))
    tell(message(2, 'between us'))
    expect(shown()).toEqual(['Bob in #general: hello @me', 'Bob: between us'])
  })

  it('stay away from somebody who looks at the page', () => {
    away = false
    tell(message(2, 'hi'))
    expect(shown()).toEqual([])
  })

  it('stay away when the user did not agree', () => {
    usePreferencesStore().notifications = false
    tell(message(2, 'hi'))
    expect(shown()).toEqual([])
  })

  it('stay away from muted channels', () => {
    addChannel(1, { name: 'general', muted: true })
    tell(message(1, 'hello @me'))
    expect(shown()).toEqual([])
  })

  it('are not for what oneself wrote elsewhere, nor for what was deleted', () => {
    tell(message(2, 'mine', { user_id: 'me' }), message(2, '', { deleted: true }))
    expect(shown()).toEqual([])
  })

  it('are not for what was read on another screen in the meantime', () => {
    hear?.(message(2, 'hi'))
    addChannel(2, { visibility: 'direct', peer: 'bob', read_seq: 5 })
    vi.advanceTimersByTime(1_000)
    expect(shown()).toEqual([])
  })

  it('tell the last of many that come at once', () => {
    tell(message(2, 'one'), message(2, 'two', { seq: 6 }), message(2, 'three', { seq: 7 }))
    expect(shown()).toEqual(['Bob: three'])
  })

  it('shorten what is long', () => {
    tell(message(2, '🎉'.repeat(200)))
    const body = FakeNotification.shown[0]?.options.body ?? ''
    expect(Array.from(body)).toHaveLength(140)
    expect(body.endsWith('🎉…')).toBe(true)
  })

  it('lead to the channel when they are clicked', async () => {
    const focus = vi.spyOn(window, 'focus').mockReturnValue()
    tell(message(2, 'hi'))
    FakeNotification.shown[0]?.onclick?.()
    await vi.waitFor(() => expect(router.currentRoute.value.path).toBe('/c/2'))
    expect(focus).toHaveBeenCalledOnce()
    expect(FakeNotification.shown[0]?.closed).toBe(true)
  })

  it('go when their message was read', async () => {
    tell(message(2, 'hi'))
    expect(FakeNotification.shown[0]?.closed).toBe(false)
    addChannel(2, { visibility: 'direct', peer: 'bob', read_seq: 5 })
    await nextTick()
    expect(FakeNotification.shown[0]?.closed).toBe(true)
  })

  it('break nothing on phones that refuse them', () => {
    FakeNotification.refuses = true
    expect(() => tell(message(2, 'hi'))).not.toThrow()
  })

  it('follow the connection of the next login', async () => {
    useGatewayStore().client = null
    await nextTick()
    expect(hear).toBeNull()
  })
})

describe('the title of the page', () => {
  it('begins with the count of what calls the user, else of what is unread', async () => {
    const page = within(() => usePageTitle(() => 'general'), router)
    expect(document.title).toBe('general · STORM')
    addChannel(1, { name: 'general', unread: 12 })
    await nextTick()
    expect(document.title).toBe('(12) general · STORM')
    addChannel(2, { visibility: 'direct', peer: 'bob', unread: 3, mentions: 3 })
    await nextTick()
    expect(document.title).toBe('(3) general · STORM')
    page.unmount()
    expect(document.title).toBe('(3) STORM')
  })

  it('counts no further than 99', async () => {
    addChannel(1, { unread: 1_234 })
    await nextTick()
    expect(document.title).toBe('(99+) STORM')
  })
})
