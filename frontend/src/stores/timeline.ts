import type { ApiError } from '@/api'
import type { Message, Reaction, ServerEvent } from '@/protocol'

export type EventOf<Type extends ServerEvent['type']> = Extract<ServerEvent, { type: Type }>

/** What happened in a channel besides messages; it has a place among them. */
export type NoticeEvent = EventOf<
  'member.joined' | 'member.left' | 'member.updated' | 'channel.updated'
>

/** What changes a message that is there already. */
export type ChangeEvent = EventOf<
  'message.edited' | 'message.deleted' | 'reaction.added' | 'reaction.removed'
>

/** Every event that a timeline shows. */
export type TimelineEvent = EventOf<'message'> | ChangeEvent | NoticeEvent

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

/** A row that the server has given its place. */
export type SentRow = TimelineRow & { seq: number }

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

export function rowOfMessage(message: Message, key = `s${message.seq}`): SentRow {
  return {
    key,
    kind: 'message',
    seq: message.seq,
    id: message.id,
    user_id: message.user_id,
    payload: message.payload,
    created_at: message.created_at,
    edited_at: message.edited_at,
    deleted: message.deleted,
    author_deleted: message.author_deleted,
    reactions: message.reactions,
    state: 'sent',
  }
}

export function rowOfMessageEvent(event: EventOf<'message'>): SentRow {
  return {
    key: `s${event.seq}`,
    kind: 'message',
    seq: event.seq,
    id: event.id,
    user_id: event.user_id,
    payload: event.payload,
    created_at: event.sent_at,
    edited_at: event.edited_at ?? null,
    deleted: event.deleted ?? false,
    author_deleted: false,
    reactions: [],
    state: 'sent',
  }
}

export function rowOfNotice(event: NoticeEvent): SentRow {
  return {
    key: `s${event.seq}`,
    kind: 'notice',
    seq: event.seq,
    id: null,
    user_id: 'user_id' in event ? event.user_id : event.by,
    payload: '',
    created_at: event.sent_at,
    edited_at: null,
    deleted: false,
    author_deleted: false,
    reactions: [],
    state: 'sent',
    notice: event,
  }
}

/** The row after a change; the same row when it changes nothing, so that nothing is drawn. */
export function changed(row: SentRow, event: ChangeEvent): SentRow {
  switch (event.type) {
    case 'message.edited':
      if (row.deleted) return row
      return { ...row, payload: event.payload, edited_at: event.sent_at }
    case 'message.deleted':
      return row.deleted ? row : { ...row, deleted: true, payload: '', reactions: [] }
    case 'reaction.added':
      return row.deleted ? row : { ...row, reactions: withReaction(row.reactions, event) }
    case 'reaction.removed':
      return { ...row, reactions: withoutReaction(row.reactions, event) }
  }
}

interface Reacted {
  emoji: string
  user_id: string
}

function withReaction(reactions: Reaction[], { emoji, user_id }: Reacted): Reaction[] {
  const there = reactions.find((each) => each.emoji === emoji)
  if (!there) return [...reactions, { emoji, user_ids: [user_id] }]
  if (there.user_ids.includes(user_id)) return reactions
  return reactions.map((each) =>
    each === there ? { emoji, user_ids: [...each.user_ids, user_id] } : each,
  )
}

function withoutReaction(reactions: Reaction[], { emoji, user_id }: Reacted): Reaction[] {
  return reactions
    .map((each) =>
      each.emoji === emoji
        ? { emoji, user_ids: each.user_ids.filter((userId) => userId !== user_id) }
        : each,
    )
    .filter((each) => each.user_ids.length > 0)
}
