import { defineStore } from 'pinia'
import { computed, shallowReactive } from 'vue'

import type { EventOf } from './timeline'

interface Presence {
  online: number
  /** Null where they are too many to be named. */
  names: Set<string> | null
}

/** Who is online in which channel. */
export const usePresenceStore = defineStore('presence', () => {
  const byChannel = shallowReactive(new Map<number, Presence>())

  const everybody = computed(() => {
    const online = new Set<string>()
    for (const { names } of byChannel.values()) for (const name of names ?? []) online.add(name)
    return online
  })

  function count(channelId: number): number {
    return byChannel.get(channelId)?.online ?? 0
  }

  function names(channelId: number): Set<string> | null {
    return byChannel.get(channelId)?.names ?? null
  }

  function isOnline(userId: string): boolean {
    return everybody.value.has(userId)
  }

  function apply(event: EventOf<'presence'>): void {
    const { channel_id: channelId, online, users, joined, left } = event
    if (users) {
      byChannel.set(channelId, { online, names: new Set(users) })
      return
    }
    const known = byChannel.get(channelId)?.names
    // Changes of a list that is not here, or a count alone: nobody can be named.
    if (!known || (!joined && !left)) {
      byChannel.set(channelId, { online, names: null })
      return
    }
    const now = new Set(known)
    for (const userId of joined ?? []) now.add(userId)
    for (const userId of left ?? []) now.delete(userId)
    byChannel.set(channelId, { online, names: now })
  }

  function drop(channelId: number): void {
    byChannel.delete(channelId)
  }

  function clear(): void {
    byChannel.clear()
  }

  return { count, names, isOnline, apply, drop, clear }
})
