import { describe, expect, it } from 'vitest'

import { countAfter, firstUnreadIndex, shapeOf } from '@/composables/useMessageList'
import { rowOf } from './rows'

const at = (minutes: number): string => new Date(2026, 2, 2, 12, minutes).toISOString()

describe('how rows stand together', () => {
  it('groups what one author writes within five minutes', () => {
    const rows = [
      rowOf(1, { created_at: at(0) }),
      rowOf(2, { created_at: at(4) }),
      rowOf(3, { created_at: at(8) }),
      rowOf(4, { created_at: at(13) }),
      rowOf(5, { created_at: at(13), user_id: 'bob' }),
    ]
    expect(rows.map((_, index) => shapeOf(rows, index, null)?.grouped)).toEqual([
      false,
      true,
      true,
      false,
      false,
    ])
  })

  it('begins anew after a notice, a new day and the line of new messages', () => {
    const late = new Date(2026, 2, 2, 23, 59).toISOString()
    const early = new Date(2026, 2, 3, 0, 1).toISOString()
    expect(shapeOf([rowOf(1, { kind: 'notice' }), rowOf(2)], 1, null)?.grouped).toBe(false)
    const overnight = [rowOf(1, { created_at: late }), rowOf(2, { created_at: early })]
    expect(shapeOf(overnight, 1, null)).toMatchObject({ grouped: false, newDay: true })
    expect(shapeOf([rowOf(1), rowOf(2)], 1, 2)).toMatchObject({ grouped: false, firstNew: true })
  })

  it('groups a pending message under the sent one before it', () => {
    const pending = rowOf(2, { seq: null, id: null, state: 'pending', key: 'ref' })
    expect(shapeOf([rowOf(1), pending], 1, null)?.grouped).toBe(true)
  })

  it('begins a day at the first row', () => {
    expect(shapeOf([rowOf(1)], 0, null)?.newDay).toBe(true)
  })

  it('draws the line once, above the first unread row, also when that seq is no row', () => {
    const rows = [rowOf(3), rowOf(4), rowOf(7), rowOf(8)]
    expect(rows.map((_, index) => shapeOf(rows, index, 5)?.firstNew)).toEqual([
      false,
      false,
      true,
      false,
    ])
  })

  it('draws no line above the oldest loaded row when unread ones are older', () => {
    const rows = [rowOf(8), rowOf(9)]
    expect(shapeOf(rows, 0, 5)?.firstNew).toBe(false)
    expect(firstUnreadIndex(rows, 5)).toBe(-1)
    expect(shapeOf(rows, 0, 8)?.firstNew).toBe(true)
    expect(firstUnreadIndex(rows, 8)).toBe(0)
  })

  it('counts others’ messages that came below, and nothing else', () => {
    const rows = [
      rowOf(1, { user_id: 'bob' }),
      rowOf(2, { user_id: 'bob' }),
      rowOf(3, { user_id: 'bob', kind: 'notice' }),
      rowOf(4, { user_id: 'alice' }),
      rowOf(5, { user_id: 'bob' }),
      rowOf(6, { user_id: 'alice', seq: null, state: 'pending' }),
    ]
    expect(countAfter(rows, 1, 'alice')).toBe(2)
    expect(countAfter(rows, 5, 'alice')).toBe(0)
  })
})
