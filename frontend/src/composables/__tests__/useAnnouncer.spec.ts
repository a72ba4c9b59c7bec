import { mount } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { defineComponent, h, nextTick, shallowRef } from 'vue'

import { i18n, setLocale } from '@/i18n'
import { useAnnouncer } from '@/composables/useAnnouncer'
import type { TimelineRow } from '@/stores/timeline'
import { rowOf } from './rows'

const view = shallowRef<{ rows: readonly TimelineRow[] }>({ rows: [] })
let said: { value: string }

async function add(...rows: TimelineRow[]): Promise<void> {
  view.value = { rows: [...view.value.rows, ...rows] }
  await nextTick()
}

beforeEach(async () => {
  vi.useFakeTimers()
  await setLocale('en')
  view.value = { rows: [rowOf(1, { user_id: 'bob' })] }
  const Listener = defineComponent({
    setup() {
      said = useAnnouncer({
        view,
        ready: () => true,
        self: () => 'alice',
        nameOf: (id) => id.toUpperCase(),
      })
      return () => h('p')
    },
  })
  mount(Listener, { global: { plugins: [i18n] } })
})
afterEach(() => void vi.useRealTimers())

describe('what a screen reader says', () => {
  it('nothing of what was there when one came', () => {
    expect(said.value).toBe('')
  })

  it('a single message, with its author', async () => {
    await add(rowOf(2, { user_id: 'bob', payload: 'hello' }))
    expect(said.value).toBe('BOB: hello')
  })

  it('of a stream only how many, once in three seconds', async () => {
    const heard = new Set<string>()
    for (let seq = 2; seq < 602; seq += 1) {
      await add(rowOf(seq, { user_id: 'bob' }))
      vi.advanceTimersByTime(5)
      heard.add(said.value)
    }
    vi.advanceTimersByTime(3_000)
    heard.add(said.value)
    // 3 s at 200 messages/s: the first one, and one sum.
    expect([...heard]).toEqual(['BOB: message 2', '599 new messages'])
  })

  it('nothing of one’s own, of notices, and of older pages', async () => {
    await add(rowOf(2), rowOf(3, { user_id: 'bob', kind: 'notice' }))
    view.value = { rows: [rowOf(0, { user_id: 'bob' }), ...view.value.rows] }
    await nextTick()
    vi.advanceTimersByTime(5_000)
    expect(said.value).toBe('')
  })
})
