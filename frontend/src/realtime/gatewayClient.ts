import type { Ack, Command, ErrorReply, Hello, Message, ServerEvent, ServerFrame } from '@/protocol'

import { backoff } from './backoff'
import { ChannelLogs } from './channelLogs'
import { CommandError, Commands } from './commands'
import { browserEnvironment, type Environment, type Socket, type Timer } from './environment'
import { Listeners } from './listeners'
import { mayReconnect, nameOf, type ClosedReason, type ConnectionStatus } from './status'

/** From the ticket to `hello`. */
const OPENING_MS = 15_000
/** A connection that lasted so long was a good one: the next backoff begins anew. */
const GOOD_MS = 10_000
/** How long a `ping` may take before the connection counts as dead. */
const PROBE_MS = 5_000
/** Beyond the interval of heartbeats, before their absence is looked into. */
const LATE_MS = 5_000
const WATCH_MS = 1_000
/** What was under way beside a heartbeat has come by then. */
const COMPARE_MS = 500
/** The browser may be wrong about having no network: it is tried all the same. */
const OFFLINE_RETRY_MS = 30_000
const RATE_LIMITED = 4003
const BROKEN = 1006

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
  /** Messages after a seq, ascending, to fill gaps; without it a gap becomes a reset. */
  history?: (channelId: number, after: number, limit: number) => Promise<Message[]>
  environment?: Environment
}

interface Events {
  status: ConnectionStatus
  hello: Hello
  /** Durable ones once and in the order of seq; ephemeral ones as they come. */
  event: ServerEvent
  /** What was kept of this channel is void: load the newest page anew. */
  reset: { channelId: number }
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
  private running = false
  /** Of the connection that counts: what an earlier one still says is not heard. */
  private turn = 0
  private attempt = 0
  private socket: Socket | null = null
  private commands: Commands | null = null
  private hello: Hello | null = null
  private wasOnline = false
  private onlineAt = 0
  private heardAt = 0
  private probedAt: number | null = null
  private told: { at: number; afterMs: number; reason: string } | null = null
  private refs = 0
  private retry: Timer | null = null
  private watch: Timer | null = null
  private unlisten: (() => void)[] = []

  constructor(private readonly options: GatewayClientOptions) {
    this.environment = options.environment ?? browserEnvironment()
    this.logs = new ChannelLogs({
      environment: this.environment,
      ...(options.history === undefined ? {} : { history: options.history }),
      deliver: (event) => this.listeners.tell('event', event),
      reset: (channelId) => this.listeners.tell('reset', { channelId }),
      refused: (channelId, error) => this.listeners.tell('refused', { channelId, error }),
    })
  }

  get status(): ConnectionStatus {
    return this.current
  }

  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    return this.listeners.on(name, listener)
  }

  start(): void {
    if (this.running) return
    this.running = true
    this.attempt = 0
    const { environment } = this
    this.unlisten = [
      environment.listen('online', () => this.tryNow()),
      environment.listen('offline', () => this.noNetwork()),
      // A laptop that was asleep: nobody noticed yet that the connection is gone.
      environment.listen('visible', () => (this.hello === null ? this.tryNow() : this.probe())),
    ]
    void this.connect()
  }

  stop(): void {
    this.leave()
    this.become({ kind: 'idle' })
  }

  /** Cuts a wait short; also after the end. */
  tryNow(): void {
    const { kind } = this.current
    if (kind === 'ended') this.start()
    else if (kind === 'waiting' || kind === 'offline') void this.connect()
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
    if (this.commands === null)
      return Promise.reject(new CommandError('unavailable', 'There is no connection.'))
    this.refs += 1
    const given = 'ref' in command ? command.ref : undefined
    return this.commands.ask(command, given ?? `c-${this.environment.now()}-${this.refs}`)
  }

  typing(channelId: number): void {
    this.commands?.tell({ type: 'typing', channel_id: channelId })
  }

  read(channelId: number, seq: number): void {
    this.commands?.tell({ type: 'read', channel_id: channelId, seq })
  }

  // --- connecting ---

  private async connect(): Promise<void> {
    this.retry?.cancel()
    this.turn += 1
    const turn = this.turn
    this.become({ kind: 'connecting', attempt: this.attempt })
    const deadline = this.environment.after(OPENING_MS, () => this.lost(turn, BROKEN))
    this.watch = deadline
    let ticket: string
    try {
      ticket = await this.options.ticket()
    } catch (error) {
      if (turn === this.turn) this.refusedTicket(error)
      return
    }
    if (turn !== this.turn) return
    let socket: Socket
    try {
      const url = `${this.options.url}?token=${encodeURIComponent(ticket)}`
      socket = this.environment.connect(url, ['storm.v1'])
    } catch {
      this.lost(turn, BROKEN)
      return
    }
    this.socket = socket
    socket.onmessage = ({ data }) => {
      if (turn === this.turn && typeof data === 'string') this.received(data)
    }
    // Says nothing that onclose would not say; and of a refused handshake neither of them tells
    // the status or Retry-After: browsers keep them from pages.
    socket.onclose = ({ code }) => this.lost(turn, code)
  }

  private refusedTicket(error: unknown): void {
    this.turn += 1
    this.watch?.cancel()
    const { status, retryAfterMs } = (error ?? {}) as { status?: unknown; retryAfterMs?: unknown }
    if (status === 401 || status === 403) this.end({ code: 4500, text: nameOf(4500) })
    else
      this.wait(
        {
          code: BROKEN,
          text: typeof status === 'number' && status > 0 ? 'unavailable' : 'network',
        },
        typeof retryAfterMs === 'number' ? retryAfterMs : undefined,
      )
  }

  private greeted(hello: Hello): void {
    this.watch?.cancel()
    this.hello = hello
    this.onlineAt = this.environment.now()
    this.told = null
    this.commands = new Commands(this.environment, hello.limits, (command) =>
      this.socket?.send(JSON.stringify(command)),
    )
    this.logs.opened(this.commands, hello.user_id, hello.epoch)
    const restored = this.wasOnline
    this.wasOnline = true
    this.watchOver(this.turn)
    this.listeners.tell('hello', hello)
    this.become({ kind: 'online', since: this.onlineAt, restored })
  }

  // --- what comes ---

  private received(text: string): void {
    this.heardAt = this.environment.now()
    this.probedAt = null
    let frame: ServerFrame
    try {
      frame = JSON.parse(text) as ServerFrame
    } catch {
      return
    }
    switch (frame.type) {
      case 'hello':
        this.greeted(frame)
        return
      case 'ack':
        this.commands?.answered(frame)
        return
      case 'error':
        if (!this.logs.failed(frame)) this.commands?.answered(frame)
        return
      case 'subscribed':
        this.logs.subscribed(frame)
        return
      case 'pong':
        return
      case 'heartbeat': {
        const turn = this.turn
        this.logs.doubt(frame.heads)
        this.environment.after(COMPARE_MS, () => {
          if (turn === this.turn) this.logs.compare(frame.heads)
        })
        return
      }
      case 'token.expiring':
        void this.renew()
        return
      case 'reconnect':
        this.told = { at: this.heardAt, afterMs: frame.after_ms, reason: frame.reason }
        this.listeners.tell('event', frame)
        return
      default:
        this.event(frame)
    }
  }

  private event(event: Exclude<ServerEvent, { type: 'hello' | 'heartbeat' }>): void {
    if ('seq' in event && event.type !== 'read') this.logs.durable(event)
    // One's own reading is told for every channel, others' doings only for those received.
    else if (event.type === 'read' || !('channel_id' in event) || this.logs.has(event.channel_id))
      this.listeners.tell('event', event)
  }

  private async renew(): Promise<void> {
    const commands = this.commands
    try {
      const token = await this.options.accessToken?.()
      if (token) commands?.tell({ type: 'authenticate', token })
    } catch {
      // The connection ends with 4002 then, and the next one has a ticket.
    }
  }

  // --- liveness ---

  private watchOver(turn: number): void {
    this.watch = this.environment.after(WATCH_MS, () => {
      if (turn !== this.turn || this.hello === null) return
      const now = this.environment.now()
      if (this.probedAt !== null && now - this.probedAt >= PROBE_MS) {
        this.lost(turn, BROKEN)
        return
      }
      const patience = this.hello.keepalive.heartbeat_seconds * 1000 + LATE_MS
      if (this.probedAt === null && now - this.heardAt > patience) this.probe()
      this.watchOver(turn)
    })
  }

  /** Asks for a sign of life. */
  private probe(): void {
    if (this.hello === null || this.probedAt !== null) return
    this.probedAt = this.environment.now()
    this.commands?.tell({ type: 'ping' })
  }

  private noNetwork(): void {
    if (this.current.kind === 'waiting') this.wait({ code: BROKEN, text: 'network' })
    else this.probe()
  }

  // --- the end of a connection ---

  private lost(turn: number, code: number): void {
    if (turn !== this.turn || !this.running) return
    const lasted = this.hello === null ? 0 : this.environment.now() - this.onlineAt
    if (lasted >= GOOD_MS) this.attempt = 0
    this.drop()
    const told = this.told
    this.told = null
    const reason = { code, text: told?.reason ?? nameOf(code) }
    if (!mayReconnect(code)) this.end(reason)
    else if (told !== null)
      this.wait(reason, Math.max(0, told.at + told.afterMs - this.environment.now()))
    else {
      // Who sent too much is to wait in earnest.
      if (code === RATE_LIMITED) this.attempt = Math.max(this.attempt, 4)
      this.wait(reason)
    }
  }

  /** Forgets the socket, so that nothing that it may still say is heard. */
  private drop(): void {
    this.turn += 1
    this.watch?.cancel()
    this.retry?.cancel()
    this.hello = null
    this.probedAt = null
    this.logs.closed()
    this.commands?.end()
    this.commands = null
    const socket = this.socket
    this.socket = null
    if (socket === null) return
    socket.onmessage = socket.onclose = null
    socket.close(1000)
  }

  private wait(reason: ClosedReason, milliseconds?: number): void {
    this.retry?.cancel()
    const offline = !this.environment.isOnline()
    const delay = offline
      ? OFFLINE_RETRY_MS
      : (milliseconds ?? backoff(this.attempt, () => this.environment.random()))
    this.retry = this.environment.after(delay, () => void this.connect())
    const attempt = this.attempt
    this.attempt += 1
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
    this.drop()
  }

  private become(status: ConnectionStatus): void {
    this.current = status
    this.listeners.tell('status', status)
  }
}
