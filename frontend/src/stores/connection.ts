import { defineStore } from 'pinia'
import { ref, shallowRef, watch } from 'vue'

import { asApiError, auth, renewAccessToken } from '@/api'
import type { Ack, Hello, ServerEvent } from '@/protocol'
import {
  GatewayClient,
  IndexedDbOutboxStorage,
  Outbox,
  type ConnectionStatus,
  type OutboxEntry,
} from '@/realtime'

import { useChannelsStore } from './channels'
import { useDraftsStore } from './drafts'
import { useGatewayStore } from './gateway'
import { useMembersStore } from './members'
import { useMessagesStore } from './messages'
import { usePresenceStore } from './presence'
import { useSessionStore } from './session'
import { useTypingStore } from './typing'
import { useUsersStore } from './users'

/** A login that is ended again so soon after it was found good is not tried once more. */
const TWICE_MS = 10_000

/** How long after its connection a login is looked at. */
const COOKIES_MS = 1_000

/**
 * Connects whoever is logged in, and hands what comes to the stores. Nothing else listens to the
 * connection.
 */
export const useConnectionStore = defineStore('connection', () => {
  const session = useSessionStore()
  const gateway = useGatewayStore()
  const channels = useChannelsStore()
  const messages = useMessagesStore()
  const members = useMembersStore()
  const presence = usePresenceStore()
  const typing = useTypingStore()
  const users = useUsersStore()
  const drafts = useDraftsStore()

  const status = shallowRef<ConnectionStatus>({ kind: 'idle' })
  const limits = shallowRef<Hello['limits'] | null>(null)
  const lastRestoredAt = ref<number | null>(null)
  /** What the server said when it ended the connection, until the next one. */
  const serverSaid = shallowRef<{ reason: string } | null>(null)
  let checkedAt = -Infinity
  let listening: (() => void)[] = []

  watch(
    () => (session.phase === 'authenticated' ? (session.user?.id ?? null) : null),
    (userId) => {
      stop()
      if (userId !== null) start(userId)
    },
    { immediate: true, flush: 'sync' },
  )
  watch(
    () => session.user,
    (user) => user && users.learn([user]),
    { immediate: true },
  )

  function start(userId: string): void {
    const client = new GatewayClient({
      url: `${location.origin.replace(/^http/, 'ws')}/ws`,
      ticket: auth.ticket,
      accessToken: renewAccessToken,
      history: messages.history,
    })
    // Bound to this connection: what a user wrote never goes out in the name of the next one.
    const send = async (entry: OutboxEntry): Promise<Ack> => {
      const { ref: entryRef, channel_id, payload } = entry
      const ack = await client.command({ type: 'message', channel_id, payload, ref: entryRef })
      if (gateway.client === client) messages.acked(entry, ack)
      return ack
    }
    const outbox = new Outbox(new IndexedDbOutboxStorage(), send, { userId })
    gateway.client = client
    gateway.outbox = outbox
    listening = [
      client.on('status', statusChanged),
      client.on('hello', (hello) => {
        limits.value = hello.limits
        channels.setLimit(hello.limits.channels)
      }),
      client.on('event', apply),
      client.on('reset', ({ channelId }) => {
        void channels.reset(channelId).catch(() => undefined)
        void messages.reset(channelId)
      }),
      client.on('refused', ({ channelId }) => channels.refused(channelId)),
      outbox.on('change', () => messages.outboxChanged(outbox.entries())),
    ]
    void channels.load()
    client.start()
  }

  function stop(): void {
    for (const end of listening) end()
    listening = []
    gateway.client?.stop()
    gateway.client = null
    gateway.outbox = null
    limits.value = null
    serverSaid.value = null
    lastRestoredAt.value = null
    status.value = { kind: 'idle' }
    for (const store of [messages, channels, members, presence, typing, users]) store.clear()
  }

  session.beforeLeaving(async () => {
    drafts.clear()
    channels.forgetSettings()
    const outbox = gateway.outbox
    for (const { ref: entry } of outbox?.entries() ?? []) await outbox?.discard(entry)
  })

  function statusChanged(now: ConnectionStatus): void {
    status.value = now
    if (now.kind === 'online') {
      serverSaid.value = null
      channels.online()
      void gateway.outbox?.flush()
      if (now.restored) {
        lastRestoredAt.value = now.since
        // Joined, left or renamed meanwhile.
        void channels.load()
      }
    } else if (now.kind === 'waiting' || now.kind === 'ended') {
      // 1006 and the like: the connection broke, the server said nothing.
      if (now.reason.code >= 1011) serverSaid.value = { reason: now.reason.text }
      if (now.kind === 'ended') void ended()
    }
  }

  /**
   * The server ended the connection for good. A password that was changed on this page ends it
   * too, while the cookies are those of the new login: whether one is logged in says the server.
   */
  async function ended(): Promise<void> {
    const reason = status.value.kind === 'ended' ? status.value.reason : null
    if (reason?.code !== 4500 && reason?.code !== 4503) return
    const client = gateway.client
    const again = Date.now() - checkedAt < TWICE_MS
    checkedAt = Date.now()
    // Until the answer that brings the new cookies is here too, in whichever tab it was asked for.
    await new Promise((done) => setTimeout(done, COOKIES_MS))
    await session.settled()
    if (client !== gateway.client) return
    try {
      await auth.me()
    } catch (error) {
      // 401 has ended the session by now; without a network the next try will tell.
      if (asApiError(error).status === 403) session.lost('errors.bannedFromServer')
    }
    if (client !== gateway.client || session.phase !== 'authenticated') return
    if (again) session.lost('errors.endedElsewhere')
    else client?.start()
  }

  function apply(event: ServerEvent): void {
    switch (event.type) {
      case 'message':
        channels.apply(event)
        messages.apply(event)
        return
      case 'message.deleted':
        channels.apply(event)
        messages.apply(event)
        return
      case 'message.edited':
      case 'reaction.added':
      case 'reaction.removed':
        messages.apply(event)
        return
      case 'member.joined':
      case 'member.left':
      case 'member.updated':
        members.apply(event)
        messages.apply(event)
        channels.apply(event)
        return
      case 'channel.updated':
        messages.apply(event)
        channels.apply(event)
        return
      case 'channel.deleted':
      case 'read':
        channels.apply(event)
        return
      case 'typing':
        typing.apply(event)
        return
      case 'presence':
        presence.apply(event)
        return
      case 'reconnect':
        serverSaid.value = { reason: event.reason }
        return
      default:
      // Of the connection itself, or of a newer server.
    }
  }

  channels.onDropped((channelId) => {
    members.drop(channelId)
    presence.drop(channelId)
  })

  function tryNow(): void {
    gateway.client?.tryNow()
  }

  return { status, limits, lastRestoredAt, serverSaid, tryNow }
})
