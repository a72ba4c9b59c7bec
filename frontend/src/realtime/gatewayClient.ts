import type { Ack, Command, ErrorReply, Hello, ServerEvent, ServerFrame } from '@/protocol'

import { backoff } from './backoff'
import { ChannelLogs, type Filled } from './channelLogs'
import { CommandError } from './commands'
import { Connection, type Ending } from './connection'
import { browserEnvironment, type Environment, type Timer } from './environment'
import type { History } from './filler'
import { Listeners } from './listeners'
import {
  BROKEN,
  mayReconnect,
  nameOf,
  REFUSED,
  TOO_FAST,
  type ClosedReason,
  type ConnectionStatus,
} from './status'

/** A connection that lasted so long was a good one: the next backoff begins anew. */
const GOOD_MS = 10_000
/** What was under way beside a heartbeat has come by then. */
const COMPARE_MS = 500
/** The browser may be wrong about having no network: it is tried all the same. */
const OFFLINE_RETRY_MS = 30_000
/**
 * After 4500. A password that is changed in this very browser ends its connections too, and the
 * answer with the new cookies may still be on its way.
 */
const SECOND_TICKET_MS = 2_000
/** After 4003: what the backoff of that many failures would be. */
const EARNEST_ATTEMPT = 4

export interface GatewayClientOptions {
  /** ws:// or wss://, without the token. */
  url: string
  /**
   * A ticket, asked for before each connection. What it rejects with may have a `status`: 401 and
   * 403 end the client, everything else is tried again (after `retryAfterMs`, if it has that).
   */
  ticket: () => Promise<string>
  /** A new access token for `authenticate`; null: none, then the next connection has a ticket. */
  accessToken?: () => Promise<string | null>
  /** To fill gaps; without it a gap becomes a reset. */
  history?: History
  /** Whose client it is; left out: whoever the first `hello` names. For others, it ends. */
  userId?: string
  environment?: Environment
}

interface Events {
  status: ConnectionStatus
  hello: Hello
  /** Durable ones once and in the order of seq; ephemeral ones as they come. */
  event: ServerEvent
  /** What was kept of this channel is void: load the newest page anew. */
  reset: { channelId: number }
  /**
   * More was missed than is replayed: the messages from `from` to `to` came from history, as they
   * are now. Reactions, members and edits of older messages in that range did not come.
   */
  filled: Filled
  /** This channel is not received, and not asked for any more. */
  refused: { channelId: number; error: ErrorReply }
}

/**
 * One user's attachment to a gateway: connects, resumes, and connects again until it is stopped
 * or told to stay away.
 */
export class GatewayClient {
  private readonly environment: Environment
  private readonly listeners = new Listeners<Events>()
  private readonly logs: ChannelLogs
  private current: ConnectionStatus = { kind: 'idle' }
  private connection: Connection | null = null
  private running = false
  private attempt = 0
  private wasOnline = false
  /** 4500 came, and the one more try that it is worth was made. */
  private doubted = false
  private userId: string | undefined
  private refs = 0
  private retry: Timer | null = null
  private unlisten: (() => void)[] = []

  constructor(private readonly options: GatewayClientOptions) {
    this.environment = options.environment ?? browserEnvironment()
    this.userId = options.userId
    this.logs = new ChannelLogs({
      environment: this.environment,
      ...(options.history === undefined ? {} : { history: options.history }),
      deliver: (event) => this.listeners.tell('event', event),
      reset: (channelId) => this.listeners.tell('reset', { channelId }),
      filled: (what) => this.listeners.tell('filled', what),
      refused: (channelId, error) => this.listeners.tell('refused', { channelId, error }),
    })
  }

  get status(): ConnectionStatus {
    return this.current
  }

  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    return this.listeners.on(name, listener)
  }

  /** Connects, and stays connected; also after the end. */
  start(): void {
    if (this.running) return
    this.running = true
    this.attempt = 0
    this.doubted = false
    const { environment } = this
    this.unlisten = [
      environment.listen('online', () => this.networkIsBack()),
      environment.listen('offline', () => this.networkIsGone()),
      // A laptop that was asleep: nobody noticed yet that the connection is gone.
      environment.listen('visible', () => this.lookedAt()),
    ]
    this.connect()
  }

  stop(): void {
    this.leave()
    this.become({ kind: 'idle' })
  }

  /** Cuts a wait short; also after the end. */
  tryNow(): void {
    const { kind } = this.current
    if (kind === 'ended') this.start()
    else if (kind === 'waiting' || kind === 'offline') this.connect()
  }

  /** Receives a channel from `since` (null: from now) on, over this and all later connections. */
  subscribe(channelId: number, since: number | null): void {
    this.logs.subscribe(channelId, since)
  }

  unsubscribe(channelId: number): void {
    this.logs.unsubscribe(channelId)
  }

  /** Resolves when it took effect; rejects with CommandError, `unavailable` without connection. */
  command(command: Command): Promise<Ack> {
    const commands = this.connection?.commands
    if (!commands) return Promise.reject(new CommandError('unavailable', 'There is no connection.'))
    this.refs += 1
    return commands.ask(command, command.ref ?? `c-${this.environment.now()}-${this.refs}`)
  }

  /** Forgotten when there is no connection. */
  typing(channelId: number): void {
    this.connection?.commands?.tell({ type: 'typing', channel_id: channelId })
  }

  /** Forgotten when there is no connection. */
  read(channelId: number, seq: number): void {
    this.connection?.commands?.tell({ type: 'read', channel_id: channelId, seq })
  }

  // --- connections ---

  private connect(): void {
    this.retry?.cancel()
    const { environment, options } = this
    const connection = new Connection({
      environment,
      url: options.url,
      ticket: options.ticket,
      greeted: (hello) => this.greeted(connection, hello),
      received: (frame) => this.received(connection, frame),
      ended: (ending) => this.ended(ending),
    })
    this.connection = connection
    this.become({ kind: 'connecting', attempt: this.attempt })
    void connection.open()
  }

  private greeted(connection: Connection, hello: Hello): void {
    this.userId ??= hello.user_id
    if (hello.user_id !== this.userId || connection.commands === null) {
      // Somebody else has logged in in this browser: nothing is sent in their name.
      this.end({ code: REFUSED, text: nameOf(REFUSED) })
      return
    }
    const restored = this.wasOnline
    this.wasOnline = true
    this.logs.opened(connection.commands, hello.user_id, hello.epoch)
    this.listeners.tell('hello', hello)
    if (this.connection === connection)
      this.become({ kind: 'online', since: this.environment.now(), restored })
  }

  private received(connection: Connection, frame: ServerFrame): void {
    switch (frame.type) {
      case 'error':
        this.logs.failed(frame)
        return
      case 'subscribed':
        this.logs.subscribed(frame)
        return
      case 'heartbeat':
        this.logs.doubt(frame.heads)
        this.environment.after(COMPARE_MS, () => {
          if (this.connection === connection) this.logs.compare(frame.heads)
        })
        return
      case 'token.expiring':
        void this.renew(connection)
        return
      case 'ack':
      case 'pong':
        return
      default:
        this.event(frame)
    }
  }

  private event(event: Exclude<ServerEvent, { type: 'heartbeat' | 'token.expiring' }>): void {
    if ('seq' in event && event.type !== 'read') this.logs.durable(event)
    // One's own reading is told for every channel, others' doings only for those received.
    else if (event.type === 'read' || !('channel_id' in event) || this.logs.has(event.channel_id))
      this.listeners.tell('event', event)
  }

  private async renew(connection: Connection): Promise<void> {
    try {
      const token = await this.options.accessToken?.()
      if (token) connection.commands?.tell({ type: 'authenticate', token })
    } catch {
      // The connection ends with 4002 then, and the next one has a ticket.
    }
  }

  // --- what the browser says ---

  private networkIsBack(): void {
    this.attempt = 0
    this.tryNow()
  }

  private networkIsGone(): void {
    if (this.current.kind === 'waiting') this.wait({ code: BROKEN, text: 'network' })
    else this.connection?.probe()
  }

  private lookedAt(): void {
    this.tryNow()
    this.connection?.probe()
  }

  // --- the end of a connection ---

  private ended({ reason, afterMs, refused, lasted }: Ending): void {
    this.connection = null
    this.logs.closed()
    if (lasted >= GOOD_MS) {
      this.attempt = 0
      this.doubted = false
    }
    if (reason.code === REFUSED && refused !== true && !this.doubted) {
      this.doubted = true
      this.wait(reason, SECOND_TICKET_MS)
    } else if (refused === true || !mayReconnect(reason.code)) {
      this.end(reason)
    } else {
      // Who sent too much is to wait in earnest.
      if (reason.code === TOO_FAST) this.attempt = Math.max(this.attempt, EARNEST_ATTEMPT)
      this.wait(reason, afterMs)
    }
  }

  private wait(reason: ClosedReason, milliseconds?: number): void {
    this.retry?.cancel()
    const offline = !this.environment.isOnline()
    const { attempt } = this
    const jittered = backoff(attempt, () => this.environment.random())
    const delay = offline ? OFFLINE_RETRY_MS : (milliseconds ?? jittered)
    this.attempt += 1
    this.retry = this.environment.after(delay, () => this.connect())
    const retryAt = this.environment.now() + delay
    this.become(offline ? { kind: 'offline' } : { kind: 'waiting', attempt, retryAt, reason })
  }

  private end(reason: ClosedReason): void {
    this.leave()
    this.become({ kind: 'ended', reason })
  }

  private leave(): void {
    this.running = false
    for (const unlisten of this.unlisten) unlisten()
    this.unlisten = []
    this.retry?.cancel()
    this.connection?.leave()
    this.connection = null
    this.logs.closed()
    this.logs.stop()
  }

  private become(status: ConnectionStatus): void {
    this.current = status
    this.listeners.tell('status', status)
  }
}
