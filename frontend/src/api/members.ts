import type { Ban, Member } from '@/protocol'

import { request } from './client'

const of = (channelId: number, userId: string): string =>
  `/channels/${channelId}/members/${encodeURIComponent(userId)}`
const banOf = (channelId: number, userId: string): string =>
  `/channels/${channelId}/bans/${encodeURIComponent(userId)}`

/** By user id, those after `after`. */
export const list = (
  channelId: number,
  query: { after?: string; limit?: number } = {},
): Promise<Member[]> => request('GET', `/channels/${channelId}/members`, { query })

export const invite = (channelId: number, userId: string): Promise<unknown> =>
  request('POST', `/channels/${channelId}/members`, { body: { user_id: userId } })

export const setRole = (channelId: number, userId: string, role: Member['role']): Promise<void> =>
  request('PATCH', of(channelId, userId), { body: { role } })

export const remove = (channelId: number, userId: string): Promise<void> =>
  request('DELETE', of(channelId, userId))

export const bans = (
  channelId: number,
  query: { after?: string; limit?: number } = {},
): Promise<Ban[]> => request('GET', `/channels/${channelId}/bans`, { query })

export const ban = (channelId: number, userId: string): Promise<void> =>
  request('PUT', banOf(channelId, userId))

export const unban = (channelId: number, userId: string): Promise<void> =>
  request('DELETE', banOf(channelId, userId))
