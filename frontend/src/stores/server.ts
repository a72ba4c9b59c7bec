import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'

import { asApiError, channels as channelsApi, server as api, type ApiError } from '@/api'
import type { ServerChannel, ServerNode, ServerUser } from '@/api/server'

export type { ServerChannel, ServerNode, ServerUser }

const PAGE = 50
const EVERY_MS = 2_000

/** What server administrators see: nodes, users and channels. */
export const useServerStore = defineStore('server', () => {
  const nodes = shallowRef<ServerNode[]>([])
  /** Why the nodes are not known now. */
  const nodesError = shallowRef<ApiError | null>(null)
  const users = useList(
    (query) => api.users(query),
    ({ id }: ServerUser) => id,
  )
  const channels = useList(
    (query) => api.channels(query),
    ({ id }: ServerChannel) => id,
  )
  let watchers = 0
  let timer: ReturnType<typeof setTimeout> | undefined

  async function loadNodes(): Promise<void> {
    try {
      nodes.value = await api.nodes()
      nodesError.value = null
    } catch (error) {
      nodesError.value = asApiError(error)
    }
  }

  /** Keeps `nodes` up to date while somebody looks, and the page is visible. @returns the end of it. */
  function watchNodes(): () => void {
    watchers += 1
    if (watchers === 1) void poll()
    let over = false
    return () => {
      if (over) return
      over = true
      watchers -= 1
      if (watchers === 0) clearTimeout(timer)
    }
  }

  async function poll(): Promise<void> {
    if (!document.hidden) await loadNodes()
    clearTimeout(timer)
    if (watchers > 0) timer = setTimeout(() => void poll(), EVERY_MS)
  }

  async function setAdmin(userId: string, admin: boolean): Promise<void> {
    const user = await api.setAdmin(userId, admin)
    changeUser(userId, { admin: user.admin })
  }

  async function ban(userId: string): Promise<void> {
    await api.ban(userId)
    changeUser(userId, { banned_at: new Date().toISOString() })
  }

  async function unban(userId: string): Promise<void> {
    await api.unban(userId)
    changeUser(userId, { banned_at: null })
  }

  async function deleteChannel(id: number): Promise<void> {
    await channelsApi.remove(id)
    channels.items.value = channels.items.value.filter((channel) => channel.id !== id)
  }

  function changeUser(userId: string, change: Partial<ServerUser>): void {
    users.items.value = users.items.value.map((user) =>
      user.id === userId ? { ...user, ...change } : user,
    )
  }

  return {
    nodes,
    nodesError,
    loadNodes,
    watchNodes,
    users: users.items,
    usersPhase: users.phase,
    usersError: users.error,
    hasMoreUsers: users.hasMore,
    searchUsers: users.search,
    moreUsers: users.more,
    channels: channels.items,
    channelsPhase: channels.phase,
    channelsError: channels.error,
    hasMoreChannels: channels.hasMore,
    searchChannels: channels.search,
    moreChannels: channels.more,
    setAdmin,
    ban,
    unban,
    deleteChannel,
  }
})

/** A list that is searched on the server, page by page. */
function useList<Item, Id extends string | number>(
  ask: (query: { contains: string; after?: Id; limit: number }) => Promise<Item[]>,
  idOf: (item: Item) => Id,
) {
  const items = shallowRef<Item[]>([])
  const phase = ref<'idle' | 'loading' | 'ready' | 'error'>('idle')
  const error = shallowRef<ApiError | null>(null)
  const hasMore = ref(false)
  let wanted = ''
  let turn = 0

  /** Of quick searches one after the other only the last counts. */
  async function search(contains: string): Promise<void> {
    wanted = contains.trim()
    await page([])
  }

  async function more(): Promise<void> {
    if (hasMore.value && phase.value !== 'loading') await page(items.value)
  }

  async function page(before: Item[]): Promise<void> {
    turn += 1
    const mine = turn
    phase.value = 'loading'
    error.value = null
    const last = before.at(-1)
    try {
      const next = await ask({
        contains: wanted,
        limit: PAGE,
        ...(last === undefined ? {} : { after: idOf(last) }),
      })
      if (mine !== turn) return
      items.value = [...before, ...next]
      hasMore.value = next.length === PAGE
      phase.value = 'ready'
    } catch (failure) {
      if (mine !== turn) return
      error.value = asApiError(failure)
      phase.value = 'error'
    }
  }

  return { items, phase, error, hasMore, search, more }
}
