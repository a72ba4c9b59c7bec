import { defineStore } from 'pinia'

import type { ApiError } from '@/api'
import type { Ban, Member } from '@/protocol'

export interface ChannelMembers {
  /** By user id, as the server sorts them. */
  members: Member[]
  phase: 'idle' | 'loading' | 'ready' | 'error'
  hasMore: boolean
  error: ApiError | null
}

export const useMembersStore = defineStore('members', () => {
  function of(_channelId: number): ChannelMembers {
    return { members: [], phase: 'idle', hasMore: false, error: null }
  }
  async function load(_channelId: number): Promise<void> {}
  async function loadMore(_channelId: number): Promise<void> {}
  async function setRole(
    _channelId: number,
    _userId: string,
    _role: Member['role'],
  ): Promise<void> {}
  async function removeMember(_channelId: number, _userId: string): Promise<void> {}
  async function ban(_channelId: number, _userId: string): Promise<void> {}
  async function unban(_channelId: number, _userId: string): Promise<void> {}
  async function bans(_channelId: number): Promise<Ban[]> {
    return Promise.resolve([])
  }

  return { of, load, loadMore, setRole, removeMember, ban, unban, bans }
})
