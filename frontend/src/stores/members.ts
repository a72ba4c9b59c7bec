import { defineStore } from 'pinia'
import { reactive } from 'vue'

import { asApiError, members as api, type ApiError } from '@/api'
import type { Ban, Member } from '@/protocol'

import type { EventOf } from './timeline'
import { useUsersStore } from './users'

const PAGE = 100
const MOST_BANS = 1_000

export interface ChannelMembers {
  /** By user id, as the server sorts them. */
  members: Member[]
  phase: 'idle' | 'loading' | 'ready' | 'error'
  hasMore: boolean
  error: ApiError | null
}

/** The members of channels, page by page. */
export const useMembersStore = defineStore('members', () => {
  const users = useUsersStore()
  const byChannel = reactive(new Map<number, ChannelMembers>())
  /** Changes that came while a page was on its way are applied to the page again. */
  const missed = new Map<number, MemberEvent[]>()

  type MemberEvent = EventOf<'member.joined' | 'member.left' | 'member.updated'>

  function of(channelId: number): ChannelMembers {
    return byChannel.get(channelId) ?? NOTHING
  }

  function entry(channelId: number): ChannelMembers {
    if (!byChannel.has(channelId)) byChannel.set(channelId, { ...NOTHING, members: [] })
    // Through the map, so that it is the reactive one.
    return byChannel.get(channelId) as ChannelMembers
  }

  /** The first page, anew. */
  async function load(channelId: number): Promise<void> {
    await loadPage(channelId, '')
  }

  async function loadMore(channelId: number): Promise<void> {
    const { hasMore, members } = of(channelId)
    if (hasMore) await loadPage(channelId, members.at(-1)?.user_id ?? '')
  }

  async function loadPage(channelId: number, after: string): Promise<void> {
    const list = entry(channelId)
    if (list.phase === 'loading') return
    list.phase = 'loading'
    list.error = null
    missed.set(channelId, [])
    try {
      const page = await api.list(channelId, { after, limit: PAGE })
      users.learn(page.map(({ user_id, display_name }) => ({ id: user_id, display_name })))
      if (byChannel.get(channelId) !== list) return
      list.members = after === '' ? page : [...list.members, ...page]
      list.hasMore = page.length === PAGE
      list.phase = 'ready'
      for (const event of missed.get(channelId) ?? []) change(list, event)
    } catch (error) {
      list.phase = 'error'
      list.error = asApiError(error)
    } finally {
      missed.delete(channelId)
    }
  }

  function apply(event: MemberEvent): void {
    const list = byChannel.get(event.channel_id)
    if (!list) return
    missed.get(event.channel_id)?.push(event)
    change(list, event)
  }

  function change(list: ChannelMembers, event: MemberEvent): void {
    const at = list.members.findIndex(({ user_id }) => user_id === event.user_id)
    if (event.type === 'member.left') {
      if (at >= 0) list.members.splice(at, 1)
    } else if (at >= 0) {
      ;(list.members[at] as Member).role = event.role
    } else if (event.type === 'member.joined') {
      const next = list.members.findIndex(({ user_id }) => user_id > event.user_id)
      // Those behind the loaded pages come with their page.
      if (next < 0 && list.hasMore) return
      const member = {
        user_id: event.user_id,
        display_name: users.displayName(event.user_id),
        role: event.role,
        joined_at: event.sent_at,
      }
      list.members.splice(next < 0 ? list.members.length : next, 0, member)
    }
  }

  // The events of these changes update the lists.
  const setRole = (channelId: number, userId: string, role: Member['role']): Promise<void> =>
    api.setRole(channelId, userId, role)
  const removeMember = (channelId: number, userId: string): Promise<void> =>
    api.remove(channelId, userId)
  const ban = (channelId: number, userId: string): Promise<void> => api.ban(channelId, userId)
  const unban = (channelId: number, userId: string): Promise<void> => api.unban(channelId, userId)

  async function bans(channelId: number): Promise<Ban[]> {
    const all: Ban[] = []
    for (;;) {
      const page = await api.bans(channelId, { after: all.at(-1)?.user_id ?? '', limit: 200 })
      all.push(...page)
      if (page.length < 200 || all.length >= MOST_BANS) return all
    }
  }

  function drop(channelId: number): void {
    byChannel.delete(channelId)
  }

  function clear(): void {
    byChannel.clear()
  }

  return { of, load, loadMore, setRole, removeMember, ban, unban, bans, apply, drop, clear }
})

const NOTHING: ChannelMembers = Object.freeze({
  members: [],
  phase: 'idle',
  hasMore: false,
  error: null,
})
