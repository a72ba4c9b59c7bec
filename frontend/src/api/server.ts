import type { Channel, User } from '@/protocol'

import { request } from './client'

/** A node as administrators see it. */
export interface ServerNode {
  node: string
  version: string
  ready: boolean
  started_at: string
  connections: number
  subscriptions: number
  messages_per_second: number
  deliveries_per_second: number
  slow_consumers: number
  loop_lag_seconds: number
  memory_bytes: number
}

export type ServerChannel = Pick<
  Channel,
  'id' | 'name' | 'topic' | 'visibility' | 'created_by' | 'created_at' | 'head' | 'member_count'
>

export interface ServerUser extends User {
  banned_at: string | null
}

export const nodes = (): Promise<ServerNode[]> => request('GET', '/server/nodes')

/** Every channel that is not direct, private ones too, by id. */
export const channels = (
  query: { contains?: string; after?: number; limit?: number } = {},
): Promise<ServerChannel[]> => request('GET', '/server/channels', { query })

export const users = (
  query: { contains?: string; after?: string; limit?: number } = {},
): Promise<ServerUser[]> => request('GET', '/users', { query })

export const setAdmin = (userId: string, admin: boolean): Promise<ServerUser> =>
  request('PATCH', `/users/${encodeURIComponent(userId)}`, { body: { admin } })

export const ban = (userId: string): Promise<void> =>
  request('PUT', `/server/bans/${encodeURIComponent(userId)}`)

export const unban = (userId: string): Promise<void> =>
  request('DELETE', `/server/bans/${encodeURIComponent(userId)}`)
