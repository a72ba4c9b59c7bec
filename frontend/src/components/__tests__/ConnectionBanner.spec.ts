import { mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { nextTick } from 'vue'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import ConnectionBanner from '@/components/ConnectionBanner.vue'
import { i18n, setLocale } from '@/i18n'
import type { ConnectionStatus } from '@/realtime'
import { useConnectionStore } from '@/stores/connection'

let wrapper: VueWrapper

const NETWORK = { code: 1006, text: 'network' }
const kind = () => wrapper.find('[data-banner]').attributes('data-banner')
const isShown = () => wrapper.find('[data-banner]').exists()

async function become(status: ConnectionStatus): Promise<void> {
  useConnectionStore().status = status
  await nextTick()
}

async function pass(milliseconds: number): Promise<void> {
  vi.advanceTimersByTime(milliseconds)
  await nextTick()
}

const waiting = (seconds: number): ConnectionStatus => ({
  kind: 'waiting',
  attempt: 1,
  retryAt: Date.now() + seconds * 1000,
  reason: NETWORK,
})

beforeEach(async () => {
  await setLocale('en')
  vi.useFakeTimers({ now: 1_000_000 })
  const pinia = createPinia()
  setActivePinia(pinia)
  useConnectionStore().status = { kind: 'online', since: 0, restored: false }
  wrapper = mount(ConnectionBanner, { global: { plugins: [pinia, i18n] } })
})

afterEach(() => {
  wrapper.unmount()
  vi.useRealTimers()
})

describe('the banner', () => {
  it('is empty while all is well, and there for screen readers', () => {
    expect(isShown()).toBe(false)
    expect(wrapper.get('[role="status"]').attributes('aria-live')).toBe('polite')
  })

  it('says nothing of a break that is over at once', async () => {
    await become({ kind: 'connecting', attempt: 0 })
    await pass(400)
    expect(isShown()).toBe(false)
    await become({ kind: 'online', since: Date.now(), restored: true })
    expect(isShown()).toBe(false)
  })

  it('counts down to the next attempt', async () => {
    await become(waiting(8))
    await pass(1000)
    expect(wrapper.text()).toContain('The connection was lost.')
    expect(wrapper.text()).toContain('Trying again in 7 seconds.')
    await pass(6000)
    expect(wrapper.text()).toContain('Trying again in 1 second.')
  })

  it('stays as it is while the attempt is made', async () => {
    await become(waiting(2))
    await pass(2000)
    await become({ kind: 'connecting', attempt: 2 })
    expect(kind()).toBe('waiting')
    expect(wrapper.text()).toContain('Trying…')
  })

  it('tries now when asked to', async () => {
    const tryNow = vi.spyOn(useConnectionStore(), 'tryNow').mockReturnValue(undefined)
    await become(waiting(20))
    await pass(1000)
    await wrapper.get('button').trigger('click')
    expect(tryNow).toHaveBeenCalledOnce()
  })

  it('says for three seconds that the connection is back', async () => {
    await become(waiting(5))
    await pass(5000)
    await become({ kind: 'online', since: Date.now(), restored: true })
    expect(wrapper.text()).toContain('Connected again.')
    await pass(2900)
    expect(isShown()).toBe(true)
    await pass(200)
    expect(isShown()).toBe(false)
  })

  it('takes "restored" back when the connection breaks again', async () => {
    await become(waiting(5))
    await pass(5000)
    await become({ kind: 'online', since: Date.now(), restored: true })
    await become(waiting(5))
    await pass(1000)
    expect(kind()).toBe('waiting')
  })

  it('tells a planned restart from a break', async () => {
    useConnectionStore().serverSaid = { reason: 'restart' }
    await become(waiting(5))
    await pass(1000)
    expect(wrapper.text()).toContain('The server is restarting.')
    expect(wrapper.text()).not.toContain('lost')
  })

  it('does not show a reason that it has no words for', async () => {
    useConnectionStore().serverSaid = { reason: 'phase_of_the_moon' }
    await become(waiting(5))
    await pass(1000)
    expect(wrapper.text()).toContain('The connection was lost.')
    expect(wrapper.text()).not.toContain('moon')
  })

  it('says at once that the browser has no network', async () => {
    await become({ kind: 'offline' })
    expect(wrapper.text()).toContain('You are offline.')
  })

  it('says what to do when the server ended the connection for good', async () => {
    useConnectionStore().serverSaid = { reason: 'too_many_connections' }
    await become({ kind: 'ended', reason: { code: 4502, text: 'too_many_connections' } })
    expect(kind()).toBe('ended')
    expect(wrapper.text()).toContain('too many windows')
    expect(wrapper.get('button').text()).toBe('Try now')
  })
})
