import type { User } from '@/protocol'

import { request } from './client'

export const register = (fields: {
  user_id: string
  password: string
  display_name?: string
}): Promise<User> => request('POST', '/auth/register', { body: fields, renew: false })

/** The answer has an access token too; the page lives by the cookies and drops it. */
export const login = async (userId: string, password: string): Promise<User> => {
  const { id, display_name, created_at, admin } = await request<User>('POST', '/auth/login', {
    body: { user_id: userId, password },
    renew: false,
  })
  return { id, display_name, created_at, admin }
}

export const logout = (): Promise<unknown> => request('POST', '/auth/logout', { renew: false })

export const me = (): Promise<User> => request('GET', '/auth/me')

export const updateMe = (change: { display_name?: string; password?: string }): Promise<User> =>
  request('PATCH', '/auth/me', { body: change })

export const deleteMe = (): Promise<unknown> => request('DELETE', '/auth/me')

/** Good once and for 60 seconds, as `?token=` of the WebSocket. */
export const ticket = async (): Promise<string> =>
  (await request<{ token: string }>('POST', '/auth/ticket')).token
