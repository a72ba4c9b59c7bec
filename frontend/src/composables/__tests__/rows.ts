import type { TimelineRow } from '@/stores/timeline'

/** A message of alice's at noon, unless something else is said. */
export function rowOf(seq: number, some: Partial<TimelineRow> = {}): TimelineRow {
  return {
    key: `s${seq}`,
    kind: 'message',
    seq,
    id: seq,
    user_id: 'alice',
    payload: `message ${seq}`,
    created_at: '2026-03-02T12:00:00Z',
    edited_at: null,
    deleted: false,
    author_deleted: false,
    reactions: [],
    state: 'sent',
    ...some,
  }
}
