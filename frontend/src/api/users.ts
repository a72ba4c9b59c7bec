import type { User } from '@/protocol'

import { request } from './client'

export const get = (id: string): Promise<User> => request('GET', `/users/${encodeURIComponent(id)}`)

/** By id, those after `after`; `contains` is looked for in ids and names. */
export const list = (
  query: { contains?: string; after?: string; limit?: number } = {},
  signal?: AbortSignal,
): Promise<User[]> => request('GET', '/users', { query, ...(signal ? { signal } : {}) })
