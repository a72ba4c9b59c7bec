import type { Channel } from '@/protocol'

import { request } from './client'

export const list = (): Promise<Channel[]> => request('GET', '/channels')

export const get = (id: number): Promise<Channel> => request('GET', `/channels/${id}`)

export const create = (fields: {
  name: string
  visibility: 'public' | 'private'
  topic?: string
}): Promise<Channel> => request('POST', '/channels', { body: fields })

export const update = (
  id: number,
  patch: { name?: string; topic?: string; visibility?: 'public' | 'private' },
): Promise<Channel> => request('PATCH', `/channels/${id}`, { body: patch })

export const remove = (id: number): Promise<void> => request('DELETE', `/channels/${id}`)

export const join = (id: number): Promise<Channel> => request('POST', `/channels/${id}/join`)

export const leave = (id: number): Promise<void> => request('POST', `/channels/${id}/leave`)

export const openDirect = (userId: string): Promise<Channel> =>
  request('POST', '/direct', { body: { user_id: userId } })
