// Made by `make docs` from the gateway's types. Do not edit.

/** Say something in a channel. With `ref`: acknowledged once durable, stored once. */
export interface MessageCommand {
  type: 'message'
  channel_id: number
  payload: string
  ref?: string | null
  user_id?: string | null
}

/** Replace the text of one's own message. */
export interface EditCommand {
  type: 'edit'
  channel_id: number
  message_id: number
  payload: string
  ref?: string | null
}

/** Delete one's own message; a moderator, anyone's. */
export interface DeleteCommand {
  type: 'delete'
  channel_id: number
  message_id: number
  ref?: string | null
}

/** Add a reaction to a message. */
export interface ReactCommand {
  type: 'react'
  channel_id: number
  message_id: number
  emoji: string
  ref?: string | null
}

/** Take one's own reaction back. */
export interface UnreactCommand {
  type: 'unreact'
  channel_id: number
  message_id: number
  emoji: string
  ref?: string | null
}

/** Tell the channel that the user is writing. Ephemeral. */
export interface TypingCommand {
  type: 'typing'
  channel_id: number
  ref?: string | null
}

/** Move the read cursor forward to `seq`. It never moves back. */
export interface ReadCommand {
  type: 'read'
  channel_id: number
  seq: number
  ref?: string | null
}

/** Receive a channel. With `since`: first everything after that `seq`. */
export interface SubscribeCommand {
  type: 'subscribe'
  channel_id: number
  since?: number | null
  ref?: string | null
}

/** Stop receiving a channel. Membership stays. */
export interface UnsubscribeCommand {
  type: 'unsubscribe'
  channel_id: number
  ref?: string | null
}

/** Renew the token of this connection, for the same user. */
export interface AuthenticateCommand {
  type: 'authenticate'
  token: string
  ref?: string | null
}

/** Ask for a `pong`, for clients that cannot send protocol pings (browsers). */
export interface PingCommand {
  type: 'ping'
  ref?: string | null
}

/** The command took effect; for a durable one, after the commit. */
export interface Ack {
  type: 'ack'
  ref: string
  channel_id?: number
  id?: number
  seq?: number
}

/** The command failed; the connection lives on. */
export interface ErrorReply {
  type: 'error'
  code: string
  message: string
  ref?: string
  retry_after_ms?: number
}

/** The channel is received from here on. Events up to `head` follow at once if asked. */
export interface Subscribed {
  type: 'subscribed'
  channel_id: number
  head: number
  ref?: string
  gap?: Gap
  reset?: boolean
}

/** Events `from`..`to` (both included) were not replayed: read them by REST. */
export interface Gap {
  from: number
  to?: number
}

/** The answer to `ping`. */
export interface Pong {
  type: 'pong'
  ref?: string
}

/** The first event of every connection. */
export interface Hello {
  type: 'hello'
  connection_id: string
  user_id: string
  node: string
  keepalive: Keepalive
  limits: Limits
  token_expires_in?: number
  epoch?: string
}

/** How silence is noticed; seconds. */
export interface Keepalive {
  ping_seconds: number
  dead_seconds: number
  heartbeat_seconds: number
}

/** The bounds that this connection meets. */
export interface Limits {
  payload_characters: number
  frame_bytes: number
  commands_per_second: number
  commands_burst: number
  channels: number
  replay_events: number
}

/** The newest `seq` of each subscribed channel: a client that has less has lost something. */
export interface Heartbeat {
  type: 'heartbeat'
  heads: Record<string, number>
}

/** The token ends in `expires_in` seconds: send `authenticate`. */
export interface TokenExpiring {
  type: 'token.expiring'
  expires_in: number
}

/** Open a new connection after `after_ms`; this one ends soon. */
export interface Reconnect {
  type: 'reconnect'
  after_ms: number
  reason: string
}

/** A message. In a replay or in history, as it is now: edited, or deleted and empty. */
export interface MessageEvent {
  type: 'message'
  channel_id: number
  payload: string
  user_id: string
  id: number
  seq: number
  sent_at: string
  edited_at?: string
  deleted?: boolean
}

/** A message has a new text. */
export interface MessageEdited {
  type: 'message.edited'
  channel_id: number
  seq: number
  message_id: number
  message_seq: number
  user_id: string
  payload: string
  sent_at: string
}

/** A message is gone; `user_id` says who deleted it. */
export interface MessageDeleted {
  type: 'message.deleted'
  channel_id: number
  seq: number
  message_id: number
  message_seq: number
  user_id: string
  sent_at: string
}

/** A user reacted to a message. */
export interface ReactionAdded {
  type: 'reaction.added'
  channel_id: number
  seq: number
  message_id: number
  message_seq: number
  user_id: string
  emoji: string
  sent_at: string
}

/** A user took a reaction back. */
export interface ReactionRemoved {
  type: 'reaction.removed'
  channel_id: number
  seq: number
  message_id: number
  message_seq: number
  user_id: string
  emoji: string
  sent_at: string
}

/** A user became a member; `by` says who invited. */
export interface MemberJoined {
  type: 'member.joined'
  channel_id: number
  seq: number
  user_id: string
  role: 'member' | 'moderator' | 'owner'
  sent_at: string
  by?: string
}

/** A member has another role. */
export interface MemberUpdated {
  type: 'member.updated'
  channel_id: number
  seq: number
  user_id: string
  role: 'member' | 'moderator' | 'owner'
  by: string
  sent_at: string
}

/** A member left, or was removed or banned by `by`. */
export interface MemberLeft {
  type: 'member.left'
  channel_id: number
  seq: number
  user_id: string
  reason: 'banned' | 'left' | 'removed'
  sent_at: string
  by?: string
}

/** The channel's name, topic or visibility changed. */
export interface ChannelUpdated {
  type: 'channel.updated'
  channel_id: number
  seq: number
  name: string
  topic: string
  visibility: string
  by: string
  sent_at: string
}

/** The channel is gone. The last event of its log. */
export interface ChannelDeleted {
  type: 'channel.deleted'
  channel_id: number
  seq: number
  by: string
  sent_at: string
}

/** A user read up to `seq`. The cursor is stored; the event itself is not replayed. */
export interface ReadEvent {
  type: 'read'
  channel_id: number
  user_id: string
  seq: number
}

/** A user is writing; shown for `expires_in_ms`. */
export interface TypingEvent {
  type: 'typing'
  channel_id: number
  user_id: string
  expires_in_ms: number
}

/** Who is online in a channel. `users` is the whole list (after a subscribe), `joined` and `left` are changes. Above the naming limit only `online`, the count, is told. */
export interface PresenceEvent {
  type: 'presence'
  channel_id: number
  online: number
  users?: string[]
  joined?: string[]
  left?: string[]
}

/** Something published to an event stream. Ephemeral. */
export interface StreamEvent {
  type: 'event'
  subject: string
  payload: unknown
}

/** What a client may say. */
export type Command =
  | MessageCommand
  | EditCommand
  | DeleteCommand
  | ReactCommand
  | UnreactCommand
  | TypingCommand
  | ReadCommand
  | SubscribeCommand
  | UnsubscribeCommand
  | AuthenticateCommand
  | PingCommand

/** What answers a command. */
export type Reply =
  | Ack
  | ErrorReply
  | Subscribed
  | Pong

/** Has a `seq`; is replayed. */
export type DurableEvent =
  | MessageEvent
  | MessageEdited
  | MessageDeleted
  | ReactionAdded
  | ReactionRemoved
  | MemberJoined
  | MemberUpdated
  | MemberLeft
  | ChannelUpdated
  | ChannelDeleted

/** Is not replayed. */
export type EphemeralEvent =
  | ReadEvent
  | TypingEvent
  | PresenceEvent
  | StreamEvent

/** About the connection itself. */
export type ConnectionEvent =
  | Hello
  | Heartbeat
  | TokenExpiring
  | Reconnect

/** Everything that the gateway tells unasked. */
export type ServerEvent =
  | DurableEvent
  | EphemeralEvent
  | ConnectionEvent

/** Everything that the gateway sends. */
export type ServerFrame =
  | Reply
  | ServerEvent
