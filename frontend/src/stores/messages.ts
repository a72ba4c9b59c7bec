import { defineStore } from 'pinia'
import { shallowRef, watch } from 'vue'

import { asApiError, messages as api } from '@/api'
import type { Message } from '@/protocol'
import type { OutboxEntry } from '@/realtime'

import { ChannelTimeline } from './channelTimeline'
import { useChannelsStore } from './channels'
import { useGatewayStore } from './gateway'
import { useSessionStore } from './session'
import type { Timeline, TimelineEvent, TimelineRow } from './timeline'
import { useTypingStore } from './typing'

export type { Timeline, TimelineRow }

/** Rows of a channel that is looked at: at most, and after the oldest were forgotten. */
const ROWS = { most: 20_000, kept: 19_500 }
/** The same of others. Trimming moves all rows, so it takes many at once. */
const IDLE_ROWS = { most: 250, kept: 200 }
const PAGE = 50
const OLDER_PAGE = 100
const LARGEST_PAGE = 200

/**
 * The messages of channels. A channel is received (subscribed) from a seq that the HTTP API told
 * before its first page is asked for: whatever the page lacks comes as an event, and what both
 * have is known by its seq. Asking for the page first and subscribing from its newest message
 * would do as well, but replay what happened since then once more.
 */
export const useMessagesStore = defineStore('messages', () => {
  const gateway = useGatewayStore()
  const session = useSessionStore()
  const channels = useChannelsStore()
  const typing = useTypingStore()
  const timelines = new Map<number, ChannelTimeline>()

  function of(channelId: number): ChannelTimeline {
    let timeline = timelines.get(channelId)
    if (!timeline) {
      timeline = new ChannelTimeline(session.user?.id ?? '')
      for (const entry of entries) {
        if (entry.channel_id === channelId) timeline.rows.put(entry)
      }
      timeline.show()
      timelines.set(channelId, timeline)
    }
    return timeline
  }

  function timeline(channelId: number): Timeline {
    return of(channelId).view
  }

  // --- pages ---

  /** Shows a channel: what is kept of it if that is up to date, else its newest page. */
  async function open(channelId: number): Promise<void> {
    const { view } = of(channelId)
    // Asked again while the first page is on its way.
    if (view.phase === 'loading') return
    if (view.phase !== 'ready') view.phase = 'loading'
    view.error = null
    const began = of(channelId).generation
    try {
      const current = await channels.receive(channelId)
      if (stale(channelId, began)) return
      if (!current || view.phase !== 'ready') await loadNewest(channelId)
    } catch (error) {
      if (!stale(channelId, began)) fail(view, error)
    }
    if (view.phase === 'ready') markNew(channelId)
  }

  function fail(view: Timeline, error: unknown): void {
    view.phase = 'error'
    view.error = asApiError(error)
  }

  const stale = (channelId: number, generation: number): boolean =>
    timelines.get(channelId)?.generation !== generation

  async function loadNewest(channelId: number): Promise<void> {
    const timeline = of(channelId)
    const { rows, view } = timeline
    const began = timeline.restart()
    view.phase = 'loading'
    const events = rows.watch()
    // All that is unread, if that is little, so that the line above it is on the page.
    const unread = channels.byId.get(channelId)?.unread ?? 0
    const limit = Math.min(Math.max(PAGE, unread + 10), LARGEST_PAGE)
    try {
      const page = await api.page(channelId, { limit })
      if (stale(channelId, began)) return
      view.reachedStart = page.length < limit
      rows.begin(page, events, view.reachedStart)
      view.phase = 'ready'
      timeline.show()
    } catch (error) {
      if (!stale(channelId, began)) fail(view, error)
    } finally {
      rows.unwatch(events)
    }
  }

  /** Notes where the "new messages" line belongs while the channel is looked at. */
  function markNew(channelId: number): void {
    const { view } = of(channelId)
    const channel = channels.byId.get(channelId)
    view.firstUnreadSeq = null
    if (!channel || channel.role === null || channel.unread === 0) return
    const me = session.user?.id
    const oldest = view.rows[0]?.seq ?? 0
    const first = view.rows.find(
      ({ kind, seq, user_id, deleted }) =>
        kind === 'message' && (seq ?? 0) > channel.read_seq && user_id !== me && !deleted,
    )
    // Somewhere above what is loaded.
    const above = !view.reachedStart && oldest > channel.read_seq + 1
    view.firstUnreadSeq = above ? channel.read_seq + 1 : (first?.seq ?? null)
  }

  async function loadOlder(channelId: number): Promise<void> {
    const timeline = of(channelId)
    const { rows, view } = timeline
    const before = rows.oldestSeq
    if (view.phase !== 'ready' || view.loadingOlder || view.reachedStart) return
    if (before === null || rows.sentCount + OLDER_PAGE > ROWS.most) return
    view.loadingOlder = true
    view.error = null
    const began = timeline.generation
    const events = rows.watch()
    try {
      const page = await api.page(channelId, { before, limit: OLDER_PAGE })
      // Trimmed meanwhile: the page would not reach the rows.
      if (stale(channelId, began) || rows.oldestSeq !== before) return
      rows.merge(page, events)
      view.reachedStart = page.length < OLDER_PAGE
      timeline.show()
    } catch (error) {
      if (!stale(channelId, began)) view.error = asApiError(error)
    } finally {
      rows.unwatch(events)
      view.loadingOlder = false
    }
  }

  /**
   * A page for a gap in what the connection missed, oldest first. It goes to the rows at once:
   * events of messages have no reactions. What else happened in the gap (an edit of an older
   * message) nobody tells any more, so the rows before it are read anew.
   */
  async function history(channelId: number, after: number, limit: number): Promise<Message[]> {
    const timeline = timelines.get(channelId)
    const kept = timeline?.view.phase === 'ready' ? timeline : undefined
    const began = kept?.generation ?? 0
    const events = kept?.rows.watch() ?? []
    try {
      const page = (await api.page(channelId, { after, limit })).reverse()
      if (!kept || stale(channelId, began)) return page
      // What is older than the rows would leave a hole.
      const oldest = kept.rows.oldestSeq ?? 0
      kept.rows.merge(
        page.filter(({ seq }) => seq >= oldest),
        events,
      )
      bound(channelId, kept)
      kept.soon()
      // Once for a gap, not for each page of it.
      if (kept.filledTo !== after) void renew(channelId, kept, after)
      kept.filledTo = page.at(-1)?.seq ?? after
      return page
    } finally {
      kept?.rows.unwatch(events)
    }
  }

  /** Reads the newest rows up to a seq anew, and forgets those before them. */
  async function renew(channelId: number, timeline: ChannelTimeline, upTo: number): Promise<void> {
    const { rows, view } = timeline
    if (timeline.renewing || (rows.oldestSeq ?? Infinity) > upTo) return
    timeline.renewing = true
    const began = timeline.generation
    const events = rows.watch()
    try {
      const page = await api.page(channelId, { before: upTo + 1, limit: LARGEST_PAGE })
      // Trimmed meanwhile: nothing is left of what was to be read anew.
      if (stale(channelId, began) || (rows.oldestSeq ?? Infinity) > upTo) return
      const oldest = page.at(-1)?.seq
      rows.merge(page, events)
      if (page.length === LARGEST_PAGE && oldest !== undefined) {
        if (rows.trimBefore(oldest)) view.reachedStart = false
      }
      timeline.soon()
    } catch {
      // A text as it was before is better than none; the next opening reads it anew.
    } finally {
      rows.unwatch(events)
      timeline.renewing = false
    }
  }

  /** What was kept of a channel is void: the newest page anew. */
  async function reset(channelId: number): Promise<void> {
    const timeline = timelines.get(channelId)
    if (!timeline || timeline.view.phase === 'idle') return
    timeline.view.firstUnreadSeq = null
    await loadNewest(channelId)
  }

  // --- events ---

  function apply(event: TimelineEvent): void {
    const timeline = timelines.get(event.channel_id)
    if (event.type === 'message') typing.stop(event.channel_id, event.user_id)
    // What is not loaded comes with its page.
    if (!timeline || (timeline.view.phase !== 'ready' && timeline.view.phase !== 'loading')) return
    timeline.rows.apply(event)
    bound(event.channel_id, timeline)
    timeline.soon()
  }

  function bound(channelId: number, { rows, view }: ChannelTimeline): void {
    const { most, kept } = channelId === channels.activeId ? ROWS : IDLE_ROWS
    if (rows.sentCount > most && rows.trim(kept)) view.reachedStart = false
  }

  watch(
    () => channels.activeId,
    (_id, former) => {
      const timeline = former === null ? undefined : timelines.get(former)
      if (!timeline) return
      if (timeline.rows.trim(IDLE_ROWS.kept)) timeline.view.reachedStart = false
      timeline.soon()
    },
  )

  // --- one's own messages ---

  /** What the outbox holds, so that a channel that is opened later shows it too. */
  let entries: OutboxEntry[] = []
  /** Those that the server refused, wherever they were written. */
  const refused = shallowRef<OutboxEntry[]>([])

  const refusedIn = (channelId: number): OutboxEntry[] =>
    refused.value.filter(({ channel_id }) => channel_id === channelId)

  async function send(channelId: number, payload: string): Promise<void> {
    typing.sent(channelId)
    await gateway.outbox?.add({ channel_id: channelId, payload })
  }

  /** The outbox holds other entries than before. */
  function outboxChanged(now: OutboxEntry[]): void {
    const there = new Set(now.map(({ ref }) => ref))
    const gone = entries.filter(({ ref }) => !there.has(ref))
    entries = now
    refused.value = now.filter(({ state }) => state === 'failed')
    for (const entry of now) timelines.get(entry.channel_id)?.rows.put(entry)
    // Sent ones have found their row by their ack before; these were given up.
    for (const { ref, channel_id } of gone) timelines.get(channel_id)?.rows.gone(ref)
    for (const { channel_id } of [...now, ...gone]) timelines.get(channel_id)?.soon()
  }

  /** The server has stored what waited in the outbox. */
  function acked(entry: OutboxEntry, ack: { id?: number; seq?: number }): void {
    const timeline = timelines.get(entry.channel_id)
    if (!timeline || ack.id === undefined || ack.seq === undefined) return
    timeline.rows.acked(entry.ref, ack.id, ack.seq)
    timeline.soon()
  }

  async function retry(ref: string): Promise<void> {
    await gateway.outbox?.retry(ref)
  }

  async function discard(ref: string): Promise<void> {
    await gateway.outbox?.discard(ref)
  }

  // --- changes: their events come back and change the rows ---

  async function edit(channelId: number, id: number, payload: string): Promise<void> {
    await gateway.command({ type: 'edit', channel_id: channelId, message_id: id, payload })
  }

  async function remove(channelId: number, id: number): Promise<void> {
    await gateway.command({ type: 'delete', channel_id: channelId, message_id: id })
  }

  async function react(channelId: number, id: number, emoji: string): Promise<void> {
    await gateway.command({ type: 'react', channel_id: channelId, message_id: id, emoji })
  }

  async function unreact(channelId: number, id: number, emoji: string): Promise<void> {
    await gateway.command({ type: 'unreact', channel_id: channelId, message_id: id, emoji })
  }

  /** The newest own message that can be edited. */
  function lastOwn(channelId: number): TimelineRow | null {
    return timelines.get(channelId)?.rows.lastOf(session.user?.id ?? '') ?? null
  }

  // --- the end ---

  /** A channel is received no more. Who looks at it sees it empty until it is opened again. */
  function drop(channelId: number): void {
    timelines.get(channelId)?.empty()
  }
  channels.onDropped(drop)

  function clear(): void {
    for (const timeline of timelines.values()) timeline.empty()
    timelines.clear()
    entries = refused.value = []
  }

  return {
    timeline,
    open,
    loadOlder,
    send,
    edit,
    remove,
    react,
    unreact,
    retry,
    discard,
    lastOwn,
    refusedIn,
    apply,
    acked,
    outboxChanged,
    history,
    reset,
    clear,
  }
})
