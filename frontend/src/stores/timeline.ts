import type { ApiError } from '@/api'
import type { Reaction, ServerEvent } from '@/protocol'

/** What happened in a channel besides messages; it has a place among them. */
export type NoticeEvent = Extract<
  ServerEvent,
  { type: 'member.joined' | 'member.left' | 'member.updated' | 'channel.updated' }
>

export interface TimelineRow {
  /** The same for the life of the row, also when a pending one becomes sent. */
  key: string
  kind: 'message' | 'notice'
  /** Null until the server has given it a place. */
  seq: number | null
  id: number | null
  user_id: string
  payload: string
  created_at: string
  edited_at: string | null
  deleted: boolean
  author_deleted: boolean
  reactions: Reaction[]
  state: 'sent' | 'pending' | 'failed'
  ref?: string
  error?: { code: string; message: string }
  notice?: NoticeEvent
}

export interface Timeline {
  /** Ascending; one's own pending and failed ones last. */
  rows: TimelineRow[]
  phase: 'idle' | 'loading' | 'ready' | 'error'
  loadingOlder: boolean
  reachedStart: boolean
  error: ApiError | null
  /** Where the "new messages" line stands: the first unread one when the channel was opened. */
  firstUnreadSeq: number | null
  newestSeq: number
}
