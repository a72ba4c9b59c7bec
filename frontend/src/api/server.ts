import type { Channel, User } from '@/protocol'

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
