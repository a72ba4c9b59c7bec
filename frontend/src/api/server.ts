import type { Node, SeenUser, ServerChannel } from '@/protocol'

import { request } from './client'

export type { Node as ServerNode, SeenUser as ServerUser, ServerChannel } from '@/protocol'

export const nodes = (): Promise<Node[]> => request('GET', '/server/nodes')

/** Every channel that is not direct, private ones too, by id. */
export const channels = (
  query: { contains?: string; after?: number; limit?: number } = {},
): Promise<ServerChannel[]> => request('GET', '/server/channels', { query })

export const users = (
  query: { contains?: string; after?: string; limit?: number } = {},
): Promise<SeenUser[]> => request('GET', '/users', { query })

export const setAdmin = (userId: string, admin: boolean): Promise<SeenUser> =>
  request('PATCH', `/users/${encodeURIComponent(userId)}`, { body: { admin } })

export const ban = (userId: string): Promise<void> =>
  request('PUT', `/server/bans/${encodeURIComponent(userId)}`)

export const unban = (userId: string): Promise<void> =>
  request('DELETE', `/server/bans/${encodeURIComponent(userId)}`)
