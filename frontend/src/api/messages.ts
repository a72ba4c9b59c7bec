import type { Message } from '@/protocol'

import { request } from './client'

/** Newest first. `before` and `after` are a seq: the page that ends before it or begins after it. */
export const page = (
  channelId: number,
  query: { before?: number; after?: number; limit?: number } = {},
): Promise<Message[]> => request('GET', `/channels/${channelId}/messages`, { query })
