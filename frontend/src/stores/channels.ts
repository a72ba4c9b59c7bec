import { defineStore } from 'pinia'
import { computed, ref } from 'vue'

import type { ApiError } from '@/api'
import type { Channel } from '@/protocol'

export interface ChannelEntry extends Channel {
  mentions: number
  muted: boolean
}

export const useChannelsStore = defineStore('channels', () => {
  const byId = ref(new Map<number, ChannelEntry>())
  const loading = ref(false)
  const error = ref<ApiError | null>(null)
  const activeId = ref<number | null>(null)
  const mine = computed<ChannelEntry[]>(() => [...byId.value.values()])
  const totalUnread = computed(() => 0)
  const totalMentions = computed(() => 0)

  async function load(): Promise<void> {}
  async function create(_fields: {
    name: string
    visibility: 'public' | 'private'
    topic?: string
  }): Promise<Channel> {
    return Promise.reject(new Error('not yet'))
  }
  async function join(_id: number): Promise<Channel> {
    return Promise.reject(new Error('not yet'))
  }
  async function leave(_id: number): Promise<void> {}
  async function update(
    _id: number,
    _patch: { name?: string; topic?: string; visibility?: 'public' | 'private' },
  ): Promise<Channel> {
    return Promise.reject(new Error('not yet'))
  }
  async function remove(_id: number): Promise<void> {}
  async function openDirect(_userId: string): Promise<Channel> {
    return Promise.reject(new Error('not yet'))
  }
  async function invite(_id: number, _userId: string): Promise<void> {}
  async function browse(_contains: string): Promise<Channel[]> {
    return Promise.resolve([])
  }
  function markRead(_id: number, _seq: number): void {}
  function setMuted(_id: number, _muted: boolean): void {}
  function displayName(channel: Channel): string {
    return channel.name
  }

  return {
    byId,
    mine,
    loading,
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
  }
})
