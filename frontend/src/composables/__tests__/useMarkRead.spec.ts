import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { effectScope, nextTick, ref, type EffectScope } from 'vue'

import { useMarkRead } from '@/composables/useMarkRead'
import { useChannelsStore } from '@/stores/channels'

let scope: EffectScope
let markRead: ReturnType<typeof vi.fn>
let focused = true
const channelId = ref(1)
const newestSeq = ref(0)
const inSight = ref(true)

beforeEach(() => {
  vi.useFakeTimers()
  setActivePinia(createPinia())
  markRead = vi.spyOn(useChannelsStore(), 'markRead').mockReturnValue(undefined) as never
  vi.spyOn(document, 'hasFocus').mockImplementation(() => focused)
  focused = true
  channelId.value = 1
  newestSeq.value = 10
  inSight.value = true
  scope = effectScope()
  scope.run(() => useMarkRead({ channelId, newestSeq, inSight }))
})
afterEach(() => {
  scope.stop()
  vi.useRealTimers()
})

describe('the read cursor', () => {
  it('moves at once to what is in sight', () => {
    expect(markRead.mock.calls).toEqual([[1, 10]])
  })

  it('follows a stream once a second, and ends at its end', async () => {
    for (newestSeq.value = 11; newestSeq.value < 200; newestSeq.value += 1) await nextTick()
    expect(markRead).toHaveBeenCalledTimes(1)
    vi.advanceTimersByTime(1_000)
    expect(markRead.mock.calls).toEqual([
      [1, 10],
      [1, 200],
    ])
    vi.advanceTimersByTime(10_000)
    expect(markRead).toHaveBeenCalledTimes(2)
  })

  it('waits while one reads further up, and while one looks elsewhere', async () => {
    vi.advanceTimersByTime(1_000)
    inSight.value = false
    newestSeq.value = 11
    await nextTick()
    focused = false
    window.dispatchEvent(new Event('blur'))
    inSight.value = true
    await nextTick()
    expect(markRead).toHaveBeenCalledTimes(1)
    focused = true
    window.dispatchEvent(new Event('focus'))
    await nextTick()
    expect(markRead).toHaveBeenLastCalledWith(1, 11)
  })

  it('begins anew in another channel', async () => {
    channelId.value = 2
    newestSeq.value = 3
    await nextTick()
    expect(markRead).toHaveBeenLastCalledWith(2, 3)
  })
})
