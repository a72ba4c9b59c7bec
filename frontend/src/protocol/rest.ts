// Made by `make docs` from the gateway's types. Do not edit.

/** A user who may not come in. */
export interface Ban {
  user_id: string
  display_name: string
  /** RFC 3339, UTC. */
  banned_at: string
}

/** What to change about a channel; at least one of them. */
export interface ChannelChangeIn {
  name?: string | null
  visibility?: 'public' | 'private' | null
  topic?: string | null
}

/** A new channel; whoever makes it owns it. */
export interface ChannelIn {
  name: string
  visibility?: 'public' | 'private'
  topic?: string
}

/** A channel as the asking user sees it. */
export interface Channel {
  id: number
  name: string
  topic: string
  visibility: 'public' | 'private' | 'direct'
  created_by: string
  /** RFC 3339, UTC. */
  created_at: string
  /** The newest seq of its log. */
  head: number
  member_count: number
  /** Null: not a member. */
  role: 'owner' | 'moderator' | 'member' | null
  /** How far the user has read. */
  read_seq: number
  /** Messages of others after `read_seq`, without deleted ones. */
  unread: number
  /** The other user of a direct channel. */
  peer: string | null
}

/** It is gone. */
export interface Deleted {
  status: 'deleted'
}

/** The new text of a message. */
export interface EditIn {
  /** At most 4,000 characters (configurable), else 413. */
  payload: string
  ref?: string | null
}

/** Why a request was refused: a code for programs, a sentence for people. */
export interface Refusal {
  /** snake_case, listed in docs/api.md */
  code: string
  message: string
  /** milliseconds after which the same request may work */
  retry_after_ms: number | null
}

/** Who is a member now. */
export interface Invited {
  channel_id: number
  user_id: string
}

/** The login has ended. */
export interface LoggedOut {
  status: 'logged out'
}

/** Name and password. */
export interface LoginIn {
  user_id: string
  password: string
}

/** The user, and the access token that the cookie holds too. */
export interface Login {
  id: string
  display_name: string
  /** RFC 3339, UTC. */
  created_at: string
  /** Whether the user is a server administrator. */
  admin: boolean
  access_token: string
  /** Seconds. */
  expires_in: number
}

/** What to change about oneself; at least one of them. */
export interface MeIn {
  display_name?: string | null
  password?: string | null
}

/** A member of a channel. */
export interface Member {
  user_id: string
  display_name: string
  role: 'owner' | 'moderator' | 'member'
  /** RFC 3339, UTC. */
  joined_at: string
}

/** A message as it is now. */
export interface Message {
  id: number
  channel_id: number
  user_id: string
  subject: string
  /** Empty when deleted. */
  payload: string
  /** RFC 3339, UTC. */
  created_at: string
  /** Its place in the log of the channel. */
  seq: number
  edited_at: string | null
  deleted: boolean
  author_deleted: boolean
  reactions: Reaction[]
}

/** A node, as it told of itself a moment ago. Rates are per second, over some seconds. */
export interface Node {
  /** Its name. */
  node: string
  version: string
  /** Whether it delivers: what its `/readyz` says. */
  ready: boolean
  /** RFC 3339, UTC. */
  started_at: string
  connections: number
  /** Of connections to channels. */
  subscriptions: number
  /** Stored by this node. */
  messages_per_second: number
  /** Events given to connections. */
  deliveries_per_second: number
  /** Connections closed with 4001 since its start. */
  slow_consumers: number
  /** How late its event loop ran at worst. */
  loop_lag_seconds: number
  /** Resident; 0 where the system does not say. */
  memory_bytes: number
}

/** Who has a connection that receives the channel. */
export interface Presence {
  online: number
  /** Null where they are too many to be named. */
  users: string[] | null
}

/** One emoji, and who chose it. */
export interface Reaction {
  emoji: string
  user_ids: string[]
}

/** Why the node is not ready; empty when it is. */
export interface Reasons {
  reasons: string[]
}

/** A new access token; both cookies are new too. */
export interface Refresh {
  status: 'refreshed'
  access_token: string
  /** Seconds. */
  expires_in: number
}

/** A new user. */
export interface RegisterIn {
  /** A user id is 1 to 64 letters (A-Z, a-z), digits or the signs . _ - @ + and is not only dots. */
  user_id: string
  password: string
  display_name?: string | null
}

/** A member's new role. */
export interface RoleIn {
  role: 'owner' | 'moderator' | 'member'
}

/** A user as others see them. */
export interface SeenUser {
  id: string
  display_name: string
  /** RFC 3339, UTC. */
  created_at: string
  /** Whether the user is a server administrator. */
  admin: boolean
  /** Since when the user is banned from the server. Only administrators are told, and only of those who are banned. */
  banned_at: string | null
}

/** A channel as administrators see it, whether they belong to it or not. */
export interface ServerChannel {
  id: number
  name: string
  topic: string
  visibility: 'public' | 'private'
  created_by: string
  /** RFC 3339, UTC. */
  created_at: string
  /** The newest seq of its log. */
  head: number
  member_count: number
}

/** Good once, as `?token=` of `/ws`. */
export interface Ticket {
  token: string
  /** Seconds. */
  expires_in: number
}

/** Whom it is about. */
export interface UserIdIn {
  /** A user id is 1 to 64 letters (A-Z, a-z), digits or the signs . _ - @ + and is not only dots. */
  user_id: string
}

/** What to change about a user; at least one of them. */
export interface UserIn {
  display_name?: string | null
  password?: string | null
  /** Server administrator or not; only administrators may say it. */
  admin?: boolean | null
}

/** A user. */
export interface User {
  id: string
  display_name: string
  /** RFC 3339, UTC. */
  created_at: string
  /** Whether the user is a server administrator. */
  admin: boolean
}
