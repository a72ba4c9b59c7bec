import { computed, type Ref } from 'vue'

import type { Timeline, TimelineRow } from '@/stores/messages'

/** Messages of one author that come within this time stand under one name. */
export const GROUP_MS = 5 * 60_000

/** How a row is shown, which depends on the one before it. */
export interface RowShape {
  row: TimelineRow
  /** Follows a message of the same author: without name and picture. */
  grouped: boolean
  /** A new day begins here: a divider above. */
  newDay: boolean
  /** The first message that one has not read: a line above. */
  firstNew: boolean
}

const dayOf = (row: TimelineRow): string => new Date(row.created_at).toDateString()

function isGrouped(before: TimelineRow, row: TimelineRow): boolean {
  if (before.kind !== 'message' || row.kind !== 'message') return false
  if (before.user_id !== row.user_id || before.author_deleted !== row.author_deleted) return false
  return Math.abs(Date.parse(row.created_at) - Date.parse(before.created_at)) < GROUP_MS
}

/** Looks at two rows only, so that a list of ten thousand costs what is seen of it. */
export function shapeOf(
  rows: readonly TimelineRow[],
  index: number,
  firstUnreadSeq: number | null,
): RowShape | null {
  const row = rows[index]
  if (row === undefined) return null
  const before = rows[index - 1]
  const newDay = before === undefined || dayOf(before) !== dayOf(row)
  const firstNew =
    firstUnreadSeq !== null &&
    row.seq !== null &&
    row.seq >= firstUnreadSeq &&
    (before === undefined ? row.seq === firstUnreadSeq : (before.seq ?? 0) < firstUnreadSeq)
  const grouped = before !== undefined && !newDay && !firstNew && isGrouped(before, row)
  return { row, grouped, newDay, firstNew }
}

/** Where the rows that one has not read begin; -1 when none of them is loaded. */
export function firstUnreadIndex(
  rows: readonly TimelineRow[],
  firstUnreadSeq: number | null,
): number {
  if (firstUnreadSeq === null) return -1
  const index = rows.findIndex(({ seq }) => seq !== null && seq >= firstUnreadSeq)
  const row = rows[index]
  // Unread ones that are older than what is loaded: their beginning is not here.
  return index === 0 && row?.seq !== firstUnreadSeq ? -1 : index
}

/** Others' messages after `seq`: what came while one was reading further up. */
export function countAfter(rows: readonly TimelineRow[], seq: number, self: string | null): number {
  let count = 0
  for (let index = rows.length - 1; index >= 0; index -= 1) {
    const row = rows[index]
    if (row === undefined || (row.seq !== null && row.seq <= seq)) break
    if (row.kind === 'message' && row.seq !== null && row.user_id !== self) count += 1
  }
  return count
}

/** What there is to scroll through. */
export interface View {
  rows: readonly TimelineRow[]
  reachedStart: boolean
}

/** About how high a row is, before it was seen: lines of text that wrap about here. */
const LINE_PX = 24
const LINE_CHARACTERS = 90

/** Asked of every row with every change: it looks at nothing that is not at hand. */
export function estimateOf(row: TimelineRow | undefined): number {
  if (row === undefined || row.kind === 'notice') return 28
  const lines = 1 + Math.floor(row.payload.length / LINE_CHARACTERS)
  return 24 + lines * LINE_PX + (row.reactions.length > 0 ? 32 : 0)
}

/** A timeline as a list to show. */
export function useMessageList(timeline: Ref<Timeline>) {
  // A new object whenever something above or below the rows changes, or they themselves.
  const view = computed<View>(() => ({
    rows: timeline.value.rows,
    reachedStart: timeline.value.reachedStart,
  }))
  return {
    view,
    shape: (index: number): RowShape | null =>
      shapeOf(view.value.rows, index, timeline.value.firstUnreadSeq),
    firstUnread: (): number => firstUnreadIndex(view.value.rows, timeline.value.firstUnreadSeq),
    countAfter: (seq: number, self: string | null): number =>
      countAfter(view.value.rows, seq, self),
  }
}
