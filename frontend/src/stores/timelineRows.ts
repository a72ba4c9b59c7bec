import type { Message } from '@/protocol'
import type { OutboxEntry } from '@/realtime'

import {
  changed,
  rowOfMessage,
  rowOfMessageEvent,
  rowOfNotice,
  type EventOf,
  type SentRow,
  type TimelineEvent,
  type TimelineRow,
} from './timeline'

/**
 * The rows of one channel, kept ascending, without hole or double, in whatever way they arrive.
 *
 * - What is sent is one unbroken stretch of the log, from the oldest loaded page to now. Pages of
 *   history put themselves before it or over it, events after it.
 * - A page shows messages as they were when the server read it. An event that came here while the
 *   page was on its way may be newer than the page. So whoever asks for a page calls `watch()`
 *   first, and `merge()` applies the events since then to the page once more. The events of a
 *   channel come in order and complete, so those are the end of the log from a point that the page
 *   holds already; applying the end of a log to a state that has some of it gives the same state
 *   (edits set, deletions stay, reactions are sets).
 * - A change of a message that is not loaded is dropped: its page will show it.
 * - Rows are never changed in place, they are replaced: what did not change is not drawn again.
 */
export class TimelineRows {
  private sent: SentRow[] = []
  private unsent: TimelineRow[] = []
  private readonly bySeq = new Map<number, SentRow>()
  private readonly seqOfId = new Map<number, number>()
  /** Sent rows that keep the key of the pending row that they were. */
  private readonly seqOfRef = new Map<string, number>()
  /** Pending rows whose event seems to be there, while no ack has said so. */
  private readonly guessed = new Map<string, TimelineRow>()
  private readonly watches = new Set<TimelineEvent[]>()
  /** Acks that came before the first page did: where their rows belong is not known yet. */
  private readonly early = new Map<string, { id: number; seq: number }>()
  /** Whether a page has come since the beginning, or the last reset. */
  private based = false
  /** The newest seq that an event or a page told of. */
  newestSeq = 0

  constructor(private readonly userId: string) {}

  get sentCount(): number {
    return this.sent.length
  }

  get oldestSeq(): number | null {
    return this.sent[0]?.seq ?? null
  }

  /** A new array each time: a page draws what it was given. */
  rows(): TimelineRow[] {
    return (this.sent as TimelineRow[]).concat(this.unsent)
  }

  /** The newest message of a user that can still be changed. */
  lastOf(userId: string): SentRow | null {
    return (
      this.sent.findLast(
        (row) => row.kind === 'message' && row.user_id === userId && !row.deleted,
      ) ?? null
    )
  }

  row(id: number): SentRow | undefined {
    const seq = this.seqOfId.get(id)
    return seq === undefined ? undefined : this.bySeq.get(seq)
  }

  // --- events ---

  apply(event: TimelineEvent): void {
    for (const watch of this.watches) watch.push(event)
    this.newestSeq = Math.max(this.newestSeq, event.seq)
    this.applyOnce(event)
  }

  private applyOnce(event: TimelineEvent): void {
    switch (event.type) {
      case 'message':
        this.applyMessage(event)
        return
      case 'message.edited':
      case 'message.deleted':
      case 'reaction.added':
      case 'reaction.removed': {
        const row = this.bySeq.get(event.message_seq)
        if (row) this.replace(row, changed(row, event))
        return
      }
      default:
        if (this.belongs(event.seq)) this.insert(rowOfNotice(event))
    }
  }

  private applyMessage(event: EventOf<'message'>): void {
    const known = this.bySeq.get(event.seq)
    if (!known) {
      if (this.belongs(event.seq)) this.insert(this.withKeyOfPending(rowOfMessageEvent(event)))
    } else if (event.deleted) {
      this.replace(known, { ...known, deleted: true, payload: '', reactions: [] })
    } else if (!known.deleted && (event.edited_at ?? '') >= (known.edited_at ?? '')) {
      // The time of an own row is this computer's until the event tells the server's.
      this.replace(known, {
        ...known,
        payload: event.payload,
        created_at: event.sent_at,
        edited_at: event.edited_at ?? null,
      })
    }
  }

  /** A replay may tell of what is older than the pages that are loaded: it would leave a hole. */
  private belongs(seq: number): boolean {
    return !this.bySeq.has(seq) && (!this.based || seq > (this.oldestSeq ?? 0))
  }

  // --- pages of history ---

  /** Notes events from now on, for the page that is asked for next. Hand it to `merge`. */
  watch(): TimelineEvent[] {
    const watch: TimelineEvent[] = []
    this.watches.add(watch)
    return watch
  }

  /** The page will not come. */
  unwatch(watch: TimelineEvent[]): void {
    this.watches.delete(watch)
  }

  /** The newest page. Only now it is known what is loaded: from its oldest message on. */
  begin(messages: Message[], watch: TimelineEvent[], whole: boolean): void {
    const from = whole ? 0 : Math.min(...messages.map((each) => each.seq))
    this.trimBefore(from)
    this.based = true
    this.merge(messages, watch)
    for (const [ref, { id, seq }] of this.early) this.acked(ref, id, seq)
    this.early.clear()
  }

  /** A page that ends where the rows begin, lies over them, or follows them. */
  merge(messages: Message[], watch: TimelineEvent[]): void {
    this.unwatch(watch)
    const fresh: SentRow[] = []
    for (const message of messages) {
      const known = this.bySeq.get(message.seq)
      if (known) {
        const { key, ref } = known
        this.replace(known, { ...rowOfMessage(message, key), ...(ref ? { ref } : {}) })
      } else {
        const row = rowOfMessage(message)
        this.index(row)
        fresh.push(row)
      }
      this.newestSeq = Math.max(this.newestSeq, message.seq)
    }
    this.sent = mergeSorted(
      fresh.sort((a, b) => a.seq - b.seq),
      this.sent,
    )
    for (const event of watch) this.applyOnce(event)
  }

  // --- one's own ---

  /** What waits in the outbox or was refused. A ref that is sent already is left alone. */
  put(entry: OutboxEntry): void {
    if (entry.state === 'failed') this.unguess(entry.ref)
    const at = this.unsent.findIndex((row) => row.ref === entry.ref)
    if (at < 0 && this.seqOfRef.has(entry.ref)) return
    const row: TimelineRow = {
      key: entry.ref,
      kind: 'message',
      seq: null,
      id: null,
      user_id: entry.user_id,
      payload: entry.payload,
      created_at: entry.created_at,
      edited_at: null,
      deleted: false,
      author_deleted: false,
      reactions: [],
      state: entry.state,
      ref: entry.ref,
      ...(entry.error ? { error: entry.error } : {}),
    }
    if (at < 0) this.unsent.push(row)
    else this.unsent[at] = row
  }

  /** The outbox has it no more. Unless an early ack says that it was sent, it was given up. */
  gone(ref: string): void {
    if (!this.early.has(ref)) this.discard(ref)
  }

  private discard(ref: string): void {
    this.unsent = this.unsent.filter((row) => row.ref !== ref)
  }

  /** The server has stored it; its event may have come before, or comes later. */
  acked(ref: string, id: number, seq: number): void {
    if (this.seqOfRef.get(ref) !== seq) this.unguess(ref)
    this.guessed.delete(ref)
    const pending = this.unsent.find((row) => row.ref === ref)
    if (!pending) return
    const known = this.bySeq.get(seq)
    if (!known && !this.based) {
      this.early.set(ref, { id, seq })
      return
    }
    this.discard(ref)
    // Older than what is loaded (a send whose ack was lost long ago): it comes with its page.
    if (!known && seq < (this.oldestSeq ?? 0)) return
    this.seqOfRef.set(ref, seq)
    if (known) this.replace(known, { ...known, key: ref, ref })
    else this.insert({ ...sentOf(pending), seq, id })
  }

  /**
   * An event has no ref. If it says what the user's oldest pending row says it is taken for it, so
   * that no text stands there twice until the ack; the ack then confirms it or takes it back.
   */
  private withKeyOfPending(row: SentRow): SentRow {
    if (row.user_id !== this.userId) return row
    const pending = this.unsent.find(
      (each) => each.state === 'pending' && each.payload === row.payload,
    )
    if (!pending?.ref) return row
    this.discard(pending.ref)
    this.guessed.set(pending.ref, pending)
    this.seqOfRef.set(pending.ref, row.seq)
    return { ...row, key: pending.ref, ref: pending.ref }
  }

  /** The guess was wrong: the event was of another device. Its row stays, under its own key. */
  private unguess(ref: string): void {
    const pending = this.guessed.get(ref)
    if (!pending) return
    this.guessed.delete(ref)
    const row = this.bySeq.get(this.seqOfRef.get(ref) ?? 0)
    this.seqOfRef.delete(ref)
    if (row?.ref === ref) {
      const ofEvent = { ...row, key: `s${row.seq}` }
      delete ofEvent.ref
      this.replace(row, ofEvent)
    }
    this.unsent.unshift(pending)
  }

  // --- bounds ---

  /** Forgets all but the newest. @returns whether something was forgotten. */
  trim(count: number): boolean {
    if (this.sent.length <= count) return false
    for (const row of this.sent.splice(0, this.sent.length - count)) this.unindex(row)
    return true
  }

  /** Forgets what is older than a seq. @returns whether something was forgotten. */
  trimBefore(seq: number): boolean {
    return this.trim(this.sent.length - position(this.sent, seq))
  }

  /** Forgets what is sent; what waits stays. */
  reset(): void {
    this.trim(0)
    // Stored, so that they come with the page; their seq may be void.
    for (const ref of this.early.keys()) this.discard(ref)
    this.early.clear()
    this.watches.clear()
    this.newestSeq = 0
    this.based = false
  }

  // --- the index ---

  private insert(row: SentRow): void {
    this.index(row)
    const at = position(this.sent, row.seq)
    if (at === this.sent.length) this.sent.push(row)
    else this.sent.splice(at, 0, row)
  }

  private replace(old: SentRow, row: SentRow): void {
    if (old === row) return
    this.index(row)
    this.sent[position(this.sent, old.seq)] = row
  }

  private index(row: SentRow): void {
    this.bySeq.set(row.seq, row)
    if (row.id !== null) this.seqOfId.set(row.id, row.seq)
  }

  private unindex(row: SentRow): void {
    this.bySeq.delete(row.seq)
    if (row.id !== null) this.seqOfId.delete(row.id)
    if (row.ref !== undefined) {
      this.seqOfRef.delete(row.ref)
      this.guessed.delete(row.ref)
    }
  }
}

function sentOf(row: TimelineRow): TimelineRow {
  const sent: TimelineRow = { ...row, state: 'sent' }
  delete sent.error
  return sent
}

/** Where a seq stands or belongs. New ones belong at the end: that is looked at first. */
function position(rows: SentRow[], seq: number): number {
  const last = rows.at(-1)
  if (!last || seq > last.seq) return rows.length
  let low = 0
  let high = rows.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((rows[middle] as SentRow).seq < seq) low = middle + 1
    else high = middle
  }
  return low
}

/** `a` and `b` ascending, without a seq in both. */
function mergeSorted(a: SentRow[], b: SentRow[]): SentRow[] {
  const lastOfA = a.at(-1)
  if (!lastOfA) return b
  if (lastOfA.seq < (b[0]?.seq ?? Infinity)) return [...a, ...b]
  return [...a, ...b].sort((left, right) => left.seq - right.seq)
}
