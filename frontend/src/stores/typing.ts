import { defineStore } from 'pinia'
import { shallowReactive } from 'vue'

import { useGatewayStore } from './gateway'
import { useSessionStore } from './session'
import type { EventOf } from './timeline'

/** The server ignores more. */
const NOTIFY_MS = 3_000

/** Who is writing where. */
export const useTypingStore = defineStore('typing', () => {
  const gateway = useGatewayStore()
  const session = useSessionStore()
  const writers = shallowReactive(new Map<number, string[]>())
  const timers = new Map<string, ReturnType<typeof setTimeout>>()
  const notifiedAt = new Map<number, number>()

  /** Others who are writing, in the order in which they began. */
  function typing(channelId: number): string[] {
    return writers.get(channelId) ?? []
  }

  /** Tells the others that one is writing; call it at each keystroke. */
  function notify(channelId: number): void {
    const now = Date.now()
    if (now - (notifiedAt.get(channelId) ?? -Infinity) < NOTIFY_MS) return
    notifiedAt.set(channelId, now)
    gateway.client?.typing(channelId)
  }

  function apply(event: EventOf<'typing'>): void {
    const { channel_id: channelId, user_id: userId } = event
    if (userId === session.user?.id) return
    const timer = `${channelId} ${userId}`
    clearTimeout(timers.get(timer))
    timers.set(
      timer,
      setTimeout(() => stop(channelId, userId), event.expires_in_ms),
    )
    const there = typing(channelId)
    if (!there.includes(userId)) writers.set(channelId, [...there, userId])
  }

  /** Time is up, or what was being written has come. */
  function stop(channelId: number, userId: string): void {
    const there = writers.get(channelId)
    if (!there?.includes(userId)) return
    const timer = `${channelId} ${userId}`
    clearTimeout(timers.get(timer))
    timers.delete(timer)
    const others = there.filter((each) => each !== userId)
    if (others.length > 0) writers.set(channelId, others)
    else writers.delete(channelId)
  }

  /** One's own message is out: the next keystroke is news again. */
  function sent(channelId: number): void {
    notifiedAt.delete(channelId)
  }

  function clear(): void {
    for (const timer of timers.values()) clearTimeout(timer)
    timers.clear()
    writers.clear()
    notifiedAt.clear()
  }

  return { typing, notify, apply, stop, sent, clear }
})
