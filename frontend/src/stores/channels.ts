import { defineStore } from 'pinia'
import { computed, ref, watch } from 'vue'

import { asApiError, channels as api, members as membersApi, type ApiError } from '@/api'
import { i18n } from '@/i18n'
import type { Channel } from '@/protocol'

import { sorted } from './channelOrder'
import { useChannelCounts } from './channelCounts'
import { useGatewayStore } from './gateway'
import { forget as forgetSaved, load as loadSaved, save } from './saved'
import { useSessionStore } from './session'
import { Subscriptions } from './subscriptions'
import type { EventOf } from './timeline'
import { useToastsStore } from './toasts'
import { useUsersStore } from './users'

export interface ChannelEntry extends Channel {
  mentions: number
  muted: boolean
}

type ChannelEvent = EventOf<
  | 'message'
  | 'message.deleted'
  | 'read'
  | 'member.joined'
  | 'member.left'
  | 'member.updated'
  | 'channel.updated'
  | 'channel.deleted'
>

/** The channels of the user, those that are only looked at, and what is unread in them. */
export const useChannelsStore = defineStore('channels', () => {
  const gateway = useGatewayStore()
  const session = useSessionStore()
  const toasts = useToastsStore()
  const users = useUsersStore()

  const byId = ref(new Map<number, ChannelEntry>())
  const loading = ref(false)
  /** The list was there once. */
  const loaded = ref(false)
  const error = ref<ApiError | null>(null)
  const activeId = ref<number | null>(null)
  const muted = ref(new Set<number>())
  const dropListeners = new Set<(channelId: number) => void>()
  /** Rises at each login and logout: answers of another user's time are void. */
  let generation = 0
  let loadingList: Promise<void> | null = null
  /** Left while the list was on its way: the list may not know yet. */
  const goneMeanwhile = new Set<number>()

  const counts = useChannelCounts(byId, activeId)
  const subscriptions = new Subscriptions(
    () => gateway.client,
    (channelId) => {
      for (const listener of dropListeners) listener(channelId)
    },
  )

  const mine = computed(() =>
    sorted(
      [...byId.value.values()].filter((channel) => channel.role !== null),
      displayName,
      i18n.global.locale.value,
    ),
  )
  const totalUnread = computed(() =>
    mine.value.reduce((sum, { unread, muted: quiet }) => sum + (quiet ? 0 : unread), 0),
  )
  const totalMentions = computed(() => mine.value.reduce((sum, { mentions }) => sum + mentions, 0))

  // --- the list ---

  /** The list of the server; also after a reconnection, for what happened meanwhile. */
  function load(): Promise<void> {
    loadingList ??= loadList().finally(() => (loadingList = null))
    return loadingList
  }

  async function loadList(): Promise<void> {
    const began = generation
    loading.value = byId.value.size === 0
    error.value = null
    muted.value = new Set(loadSaved<number[]>(mutedKey(), []))
    const before = new Set(byId.value.keys())
    goneMeanwhile.clear()
    try {
      const list = (await api.list()).filter(({ id }) => !goneMeanwhile.has(id))
      if (began !== generation) return
      for (const channel of list) {
        if (channel.role !== null || byId.value.has(channel.id)) put(channel)
      }
      const there = new Set(list.map(({ id }) => id))
      // Left, removed from or deleted while offline. What was added meanwhile stays.
      for (const id of before) if (!there.has(id)) forget(id)
      const ofUser = list.filter(({ role }) => role !== null)
      // The one to be kept longest last.
      for (const { id, head } of byUse(ofUser).slice(0, subscriptions.limit).reverse()) {
        subscriptions.add(id, head, false)
      }
      loaded.value = true
      void counts.lookForMentions()
    } catch (failure) {
      if (began === generation) error.value = asApiError(failure)
    } finally {
      if (began === generation) loading.value = false
    }
  }

  // The server tells no time of the last message: what is unread, then what the user opened last.
  function byUse(list: Channel[]): Channel[] {
    const opened = loadSaved<number[]>(openedKey(), [])
    const rank = (channel: Channel): number =>
      channel.unread > 0 ? -1 : opened.indexOf(channel.id) + 1 || Infinity
    return [...list].sort((a, b) => rank(a) - rank(b) || b.head - a.head)
  }

  /** Adds or renews a channel from what the server says of it. */
  function put(channel: Channel): ChannelEntry {
    const old = byId.value.get(channel.id)
    const count = counts.counted(channel)
    byId.value.set(channel.id, {
      ...channel,
      head: Math.max(channel.head, old?.head ?? 0),
      ...count,
      muted: muted.value.has(channel.id),
    })
    return byId.value.get(channel.id) as ChannelEntry
  }

  async function reload(id: number): Promise<ChannelEntry | null> {
    const began = generation
    try {
      const channel = await api.get(id)
      return began === generation ? put(channel) : null
    } catch (failure) {
      if (began === generation && asApiError(failure).status === 404) forget(id)
      throw failure
    }
  }

  counts.onUncertain((id) => void reload(id).catch(() => undefined))

  function forget(id: number): void {
    goneMeanwhile.add(id)
    subscriptions.remove(id)
    counts.drop(id)
    byId.value.delete(id)
  }

  /**
   * Receives a channel that is opened, known or not, member or not.
   * @returns whether it was received all along, so that what is kept of it is up to date.
   */
  async function receive(id: number): Promise<boolean> {
    if (subscriptions.has(id)) return subscriptions.add(id, 0, true)
    const entry = await reload(id)
    if (entry) subscriptions.add(id, entry.head, true)
    return false
  }

  // --- what the user does ---

  async function create(fields: {
    name: string
    visibility: 'public' | 'private'
    topic?: string
  }): Promise<Channel> {
    return enter(await api.create(fields))
  }

  async function join(id: number): Promise<Channel> {
    return enter(await api.join(id))
  }

  async function openDirect(userId: string): Promise<Channel> {
    return enter(await api.openDirect(userId))
  }

  function enter(channel: Channel): Channel {
    const entry = put(channel)
    subscriptions.add(channel.id, channel.head, true)
    return entry
  }

  async function leave(id: number): Promise<void> {
    await api.leave(id)
    forget(id)
  }

  async function update(
    id: number,
    patch: { name?: string; topic?: string; visibility?: 'public' | 'private' },
  ): Promise<Channel> {
    return put(await api.update(id, patch))
  }

  async function remove(id: number): Promise<void> {
    await api.remove(id)
    forget(id)
  }

  async function invite(id: number, userId: string): Promise<void> {
    await membersApi.invite(id, userId)
  }

  /** Public channels that the user is not in. */
  async function browse(contains: string): Promise<Channel[]> {
    const wanted = contains.trim().toLocaleLowerCase()
    return (await api.list()).filter(
      ({ role, name, topic }) =>
        role === null && `${name}\n${topic}`.toLocaleLowerCase().includes(wanted),
    )
  }

  function markRead(id: number, seq: number): void {
    if (byId.value.get(id)?.role) counts.markRead(id, seq)
  }

  function setMuted(id: number, quiet: boolean): void {
    if (quiet) muted.value.add(id)
    else muted.value.delete(id)
    save(mutedKey(), [...muted.value])
    const entry = byId.value.get(id)
    if (entry) entry.muted = quiet
  }

  function displayName(channel: Channel): string {
    return channel.peer === null ? channel.name : users.displayName(channel.peer)
  }

  const mutedKey = (): string => `storm.muted.${session.user?.id ?? ''}`
  const openedKey = (): string => `storm.opened.${session.user?.id ?? ''}`

  watch(activeId, (id, former) => {
    if (id !== null) {
      const others = loadSaved<number[]>(openedKey(), []).filter((each) => each !== id)
      save(openedKey(), [id, ...others].slice(0, 200))
    }
    // A public channel that one only looked at.
    if (former !== null && byId.value.get(former)?.role === null) forget(former)
  })

  /** Where the user was last, if that is still theirs. */
  function lastOpened(): number | null {
    const opened = loadSaved<number[]>(openedKey(), [])
    return opened.find((id) => byId.value.get(id)?.role) ?? null
  }

  // --- events ---

  function apply(event: ChannelEvent): void {
    const id = event.channel_id
    const me = session.user?.id
    const entry = byId.value.get(id)
    if (event.type === 'message' || event.type === 'message.deleted' || event.type === 'read') {
      counts.apply(event)
      return
    }
    // A replayed event that the answer of the server knew already.
    if (entry && event.seq <= entry.head) return
    if (entry) entry.head = event.seq
    switch (event.type) {
      case 'member.joined':
        if (event.user_id === me) void joined(id, event.by)
        else if (entry) entry.member_count += 1
        return
      case 'member.left':
        if (event.user_id === me) left(id, event.reason)
        else if (entry) entry.member_count -= 1
        return
      case 'member.updated':
        if (entry && event.user_id === me) entry.role = event.role
        return
      case 'channel.updated':
        if (entry) Object.assign(entry, pick(event))
        return
      case 'channel.deleted':
        if (entry && event.by !== me) tell('errors.channelDeleted', entry)
        forget(id)
    }
  }

  const pick = ({ name, topic, visibility }: EventOf<'channel.updated'>) => ({
    name,
    topic,
    visibility,
  })

  /** In another tab, or because somebody invited. */
  async function joined(id: number, by: string | undefined): Promise<void> {
    if (byId.value.get(id)?.role) return
    try {
      const entry = await reload(id)
      if (!entry) return
      subscriptions.add(id, entry.head, false)
      if (by !== undefined && by !== session.user?.id && entry.peer === null) {
        tell('errors.addedToChannel', entry)
      }
    } catch {
      // Removed again already; or the next load of the list brings it.
    }
  }

  function left(id: number, reason: EventOf<'member.left'>['reason']): void {
    const entry = byId.value.get(id)
    if (!entry) return
    if (reason === 'removed') tell('errors.removedFromChannel', entry)
    if (reason === 'banned') tell('errors.bannedFromChannel', entry)
    forget(id)
  }

  function tell(key: string, channel: Channel): void {
    toasts.show({ text: i18n.global.t(key, { channel: displayName(channel) }), kind: 'info' })
  }

  /** At a logout: nothing of the user stays in the browser. */
  function forgetSettings(): void {
    forgetSaved(mutedKey())
    forgetSaved(openedKey())
  }

  /** What was known of a channel's log is void: seqs begin anew. */
  async function reset(id: number): Promise<void> {
    counts.drop(id)
    const entry = byId.value.get(id)
    if (entry) entry.head = 0
    await reload(id)
  }

  /** The gateway does not give this channel. Whether it is there at all says the HTTP API. */
  function refused(id: number): void {
    subscriptions.remove(id)
    void reload(id).catch(() => undefined)
  }

  /** Calls `listener` when a channel is received no more. */
  function onDropped(listener: (channelId: number) => void): void {
    dropListeners.add(listener)
  }

  function clear(): void {
    generation += 1
    loadingList = null
    loading.value = false
    loaded.value = false
    error.value = null
    activeId.value = null
    subscriptions.clear()
    counts.clear()
    byId.value.clear()
  }

  return {
    byId,
    mine,
    loading,
    loaded,
    error,
    activeId,
    totalUnread,
    totalMentions,
    load,
    create,
    join,
    leave,
    update,
    remove,
    openDirect,
    invite,
    browse,
    markRead,
    setMuted,
    displayName,
    lastOpened,
    apply,
    receive,
    reset,
    refused,
    onDropped,
    forgetSettings,
    clear,
    setLimit: (limit: number) => subscriptions.setLimit(limit),
    online: () => counts.online(),
  }
})
