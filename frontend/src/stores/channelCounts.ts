import type { Ref } from 'vue'

import { messages as api } from '@/api'
import type { Channel } from '@/protocol'

import type { ChannelEntry } from './channels'
import { gathered } from './frame'
import { useGatewayStore } from './gateway'
import { mentions } from './mentions'
import { useSessionStore } from './session'
import type { EventOf } from './timeline'
import { Unread } from './unread'

/** One's cursor is told to the server so often, for each channel. */
const READ_MS = 1_000
/** Channels whose newest page is looked through at once. */
const LOOKS_AT_ONCE = 2
const ASK_MS = 500

export interface ChannelCounts {
  /** What the server counted; @returns what is unread now, later events included. */
  counted(channel: Channel): Pick<ChannelEntry, 'unread' | 'mentions' | 'read_seq'>
  apply(event: EventOf<'message' | 'message.deleted' | 'read'>): void
  markRead(channelId: number, seq: number): void
  /** Looks in the newest pages of what was unread at the load for what calls the user. */
  lookForMentions(): Promise<void>
  /** The connection is back: what was read meanwhile is told. */
  online(): void
  /** Who asks the server when only it can count. */
  onUncertain(ask: (channelId: number) => void): void
  drop(channelId: number): void
  clear(): void
}

/** Unread messages and mentions of every channel, and how far the user has read. */
export function useChannelCounts(
  byId: Ref<Map<number, ChannelEntry>>,
  activeId: Ref<number | null>,
): ChannelCounts {
  const gateway = useGatewayStore()
  const session = useSessionStore()
  const counters = new Map<number, Unread>()
  /** Cursors that the server does not know yet. */
  const untold = new Map<number, number>()
  const pauses = new Map<number, ReturnType<typeof setTimeout>>()
  const questions = new Map<number, ReturnType<typeof setTimeout>>()
  /** Looked through already, or waiting for it. */
  const looked = new Set<number>()
  const toLook: number[] = []
  const heads = new Map<number, number>()
  const touched = new Set<number>()
  let ask: (channelId: number) => void = () => undefined
  let looking = 0

  const show = gathered(() => {
    for (const channelId of touched) {
      const entry = byId.value.get(channelId)
      const counter = counters.get(channelId)
      if (!entry || !counter) continue
      entry.unread = counter.count
      entry.mentions = mentionsOf(entry, counter)
      entry.read_seq = counter.readSeq
      entry.head = Math.max(entry.head, heads.get(channelId) ?? 0)
    }
    touched.clear()
    heads.clear()
  })

  function touch(channelId: number): void {
    touched.add(channelId)
    show.soon()
  }

  /** Every direct message is meant for the user. */
  const mentionsOf = (channel: Channel, counter: Unread): number =>
    channel.visibility === 'direct' ? counter.count : counter.mentions

  function counted(channel: Channel): Pick<ChannelEntry, 'unread' | 'mentions' | 'read_seq'> {
    let counter = counters.get(channel.id)
    if (counter) {
      counter.counted(channel)
    } else {
      counter = new Unread(channel)
      counters.set(channel.id, counter)
    }
    if (channel.role !== null && channel.unread > 0 && channel.visibility !== 'direct') {
      if (!looked.has(channel.id)) toLook.push(channel.id)
      looked.add(channel.id)
    }
    return {
      unread: counter.count,
      mentions: mentionsOf(channel, counter),
      read_seq: counter.readSeq,
    }
  }

  function apply(event: EventOf<'message' | 'message.deleted' | 'read'>): void {
    const channelId = event.channel_id
    const counter = counters.get(channelId)
    if (!counter) return
    const me = session.user?.id ?? ''
    if (event.type === 'read') {
      if (event.user_id === me) move(channelId, counter, event.seq)
      return
    }
    if (event.seq > (heads.get(channelId) ?? 0)) heads.set(channelId, event.seq)
    if (event.type === 'message.deleted') {
      if (!counter.deleted(event.message_seq)) askSoon(channelId)
    } else if (event.user_id !== me && event.deleted !== true && !seen(channelId)) {
      counter.message(event.seq, mentions(event.payload, me))
    }
    touch(channelId)
  }

  /** The user is looking at it; how far is read says the message list. */
  const seen = (channelId: number): boolean => channelId === activeId.value && !document.hidden

  function move(channelId: number, counter: Unread, seq: number): void {
    if (seq <= counter.readSeq) return
    if (!counter.read(seq)) askSoon(channelId)
    touch(channelId)
  }

  function markRead(channelId: number, seq: number): void {
    const counter = counters.get(channelId)
    if (!counter || seq <= counter.readSeq) return
    if (!counter.read(seq)) askSoon(channelId)
    touch(channelId)
    untold.set(channelId, seq)
    if (!pauses.has(channelId)) tellRead(channelId)
  }

  // The first step at once; what comes within a second after it together, as the last of it.
  function tellRead(channelId: number): void {
    pauses.delete(channelId)
    const seq = untold.get(channelId)
    const client = gateway.client
    if (seq === undefined || client?.status.kind !== 'online') return
    untold.delete(channelId)
    client.read(channelId, seq)
    pauses.set(
      channelId,
      setTimeout(() => tellRead(channelId), READ_MS),
    )
  }

  function online(): void {
    for (const channelId of untold.keys()) if (!pauses.has(channelId)) tellRead(channelId)
  }

  // Many steps in a row, as of a user who scrolls, are one question; and it comes after the
  // cursor was told.
  function askSoon(channelId: number): void {
    clearTimeout(questions.get(channelId))
    questions.set(
      channelId,
      setTimeout(() => {
        questions.delete(channelId)
        if (untold.has(channelId)) askSoon(channelId)
        else ask(channelId)
      }, ASK_MS),
    )
  }

  async function lookForMentions(): Promise<void> {
    if (looking >= LOOKS_AT_ONCE) return
    looking += 1
    try {
      for (let id = toLook.shift(); id !== undefined; id = toLook.shift()) {
        await lookThrough(id)
      }
    } finally {
      looking -= 1
    }
  }

  async function lookThrough(channelId: number): Promise<void> {
    const counter = counters.get(channelId)
    const me = session.user?.id
    if (!counter || me === undefined) return
    try {
      for (const message of await api.page(channelId, { limit: 50 })) {
        if (message.user_id !== me && mentions(message.payload, me)) counter.mention(message.seq)
      }
      touch(channelId)
    } catch {
      // A count that is too low until the channel is opened: no reason to tell anybody.
    }
  }

  function drop(channelId: number): void {
    counters.delete(channelId)
    looked.delete(channelId)
    untold.delete(channelId)
    heads.delete(channelId)
    clearTimeout(questions.get(channelId))
    questions.delete(channelId)
  }

  function clear(): void {
    for (const timer of [...pauses.values(), ...questions.values()]) clearTimeout(timer)
    for (const all of [counters, untold, pauses, questions, heads, looked, touched]) all.clear()
    toLook.length = 0
  }

  return {
    counted,
    apply,
    markRead,
    // Two at a time.
    lookForMentions: async () => {
      await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, lookForMentions))
    },
    online,
    onUncertain: (listener) => (ask = listener),
    drop,
    clear,
  }
}
