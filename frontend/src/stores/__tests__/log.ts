import type { Message } from '@/protocol'
import type { OutboxEntry } from '@/realtime'

import type { EventOf, TimelineEvent, TimelineRow } from '../timeline'

type MessageEvent = EventOf<'message'>

/** A channel as the server keeps it: a log, and pages of it as they are at that moment. */
export class ServerLog {
  readonly events: TimelineEvent[] = []
  private readonly messages: Message[] = []

  constructor(readonly channelId = 1) {}

  get head(): number {
    return this.events.length
  }

  private next(): { channel_id: number; seq: number; sent_at: string } {
    return { channel_id: this.channelId, seq: this.head + 1, sent_at: at(this.head + 1) }
  }

  private push<Event extends TimelineEvent>(event: Event): Event {
    this.events.push(event)
    return event
  }

  say(user_id: string, payload: string): MessageEvent {
    const event = this.push<MessageEvent>({
      type: 'message',
      ...this.next(),
      user_id,
      payload,
      id: 1000 + this.messages.length,
    })
    this.messages.push({
      id: event.id,
      channel_id: this.channelId,
      user_id,
      subject: `channels.${this.channelId}`,
      payload,
      created_at: event.sent_at,
      seq: event.seq,
      edited_at: null,
      deleted: false,
      author_deleted: false,
      reactions: [],
    })
    return event
  }

  private message(index: number): Message {
    const message = this.messages.at(index)
    if (!message) throw new Error('There is no such message.')
    return message
  }

  private target(message: Message): { message_id: number; message_seq: number } {
    return { message_id: message.id, message_seq: message.seq }
  }

  edit(index: number, payload: string): TimelineEvent {
    const message = this.message(index)
    const event = this.push<EventOf<'message.edited'>>({
      type: 'message.edited',
      ...this.next(),
      ...this.target(message),
      user_id: message.user_id,
      payload,
    })
    Object.assign(message, { payload, edited_at: event.sent_at })
    return event
  }

  delete(index: number): TimelineEvent {
    const message = this.message(index)
    Object.assign(message, { payload: '', deleted: true, reactions: [] })
    return this.push<EventOf<'message.deleted'>>({
      type: 'message.deleted',
      ...this.next(),
      ...this.target(message),
      user_id: message.user_id,
    })
  }

  react(index: number, user_id: string, emoji: string): TimelineEvent {
    const message = this.message(index)
    const there = message.reactions.find((each) => each.emoji === emoji)
    if (there) there.user_ids.push(user_id)
    else message.reactions.push({ emoji, user_ids: [user_id] })
    return this.push<EventOf<'reaction.added'>>({
      type: 'reaction.added',
      ...this.next(),
      ...this.target(message),
      user_id,
      emoji,
    })
  }

  unreact(index: number, user_id: string, emoji: string): TimelineEvent {
    const message = this.message(index)
    for (const each of message.reactions) {
      if (each.emoji === emoji) each.user_ids = each.user_ids.filter((id) => id !== user_id)
    }
    message.reactions = message.reactions.filter((each) => each.user_ids.length > 0)
    return this.push<EventOf<'reaction.removed'>>({
      type: 'reaction.removed',
      ...this.next(),
      ...this.target(message),
      user_id,
      emoji,
    })
  }

  joined(user_id: string): TimelineEvent {
    return this.push<EventOf<'member.joined'>>({
      type: 'member.joined',
      ...this.next(),
      user_id,
      role: 'member',
    })
  }

  /** Newest first, as the server answers; a copy, as it is now. */
  page(query: { limit?: number; before?: number; after?: number } = {}): Message[] {
    const { limit = 50, before = Infinity, after } = query
    const found = this.messages.filter(({ seq }) => seq < before && seq > (after ?? 0))
    const page = after === undefined ? found.slice(-limit) : found.slice(0, limit)
    return structuredClone(page).reverse()
  }

  has(message: Pick<Message, 'id'>): boolean {
    return this.messages.some(({ id }) => id === message.id)
  }
}

/** A time that grows with n. */
export function at(n: number): string {
  return new Date(Date.UTC(2026, 0, 31) + n * 1000).toISOString()
}

/** What of the rows the server knows too, in a form that can be compared. */
export function messagesOf(rows: TimelineRow[]): object[] {
  return rows
    .filter(({ kind, state }) => kind === 'message' && state === 'sent')
    .map(({ seq, id, user_id, payload, created_at, edited_at, deleted, reactions }) => ({
      seq,
      id,
      user_id,
      payload,
      created_at,
      edited_at,
      deleted,
      reactions: [...reactions]
        .map(({ emoji, user_ids }) => `${emoji} ${[...user_ids].sort().join(' ')}`)
        .sort(),
    }))
}

/** The same of a page, oldest first. */
export function messagesOfPage(page: Message[]): object[] {
  return messagesOf(
    page
      .map((message) => ({
        ...message,
        key: '',
        kind: 'message' as const,
        state: 'sent' as const,
      }))
      .reverse(),
  )
}

export function entryOf(
  ref: string,
  payload: string,
  more: Partial<OutboxEntry> = {},
): OutboxEntry {
  return {
    ref,
    user_id: 'me',
    channel_id: 1,
    payload,
    created_at: at(0),
    state: 'pending',
    ...more,
  }
}

/** Numbers that look random and are the same at each run (mulberry32). */
export function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}
