import type { Hello, ServerFrame } from '@/protocol'

import { Commands } from './commands'
import type { Environment, Socket, Timer } from './environment'
import { BROKEN, FORBIDDEN, nameOf, REFUSED, type ClosedReason } from './status'

/** From the ticket to `hello`. */
const OPENING_MS = 15_000
/** How long a `ping` may take before the connection counts as dead. */
const PROBE_MS = 5_000
/** Beyond the interval of heartbeats, before their absence is looked into. */
const LATE_MS = 5_000
const WATCH_MS = 1_000
/** After `reconnect` the server closes by itself; if it does not, we leave so much later. */
const LEAVE_MS = 2_000
const RESTART = 1012

export interface Ending {
  reason: ClosedReason
  /** The server named the time to come back: no backoff. */
  afterMs?: number
  /** Not even a ticket was given: there is nobody to connect as. */
  refused?: boolean
  /** Milliseconds since `hello`. */
  lasted: number
}

export interface ConnectionOptions {
  environment: Environment
  url: string
  ticket: () => Promise<string>
  greeted(hello: Hello): void
  /** Everything after `hello`, except replies to commands and pings. */
  received(frame: ServerFrame): void
  /** Once, and the last that is heard of this connection; not after `leave`. */
  ended(ending: Ending): void
}

/** One connection, from its ticket to its end. */
export class Connection {
  hello: Hello | null = null
  commands: Commands | null = null
  private readonly environment: Environment
  private socket: Socket | null = null
  private over = false
  private greetedAt = 0
  private heardAt = 0
  private probedAt: number | null = null
  private told: { at: number; reason: string } | null = null
  /** The deadline of the opening, then the watch over its life. */
  private timer: Timer | null = null

  constructor(private readonly options: ConnectionOptions) {
    this.environment = options.environment
  }

  async open(): Promise<void> {
    if (this.over) return
    this.timer = this.environment.after(OPENING_MS, () => this.lost(BROKEN))
    let ticket: string
    try {
      ticket = await this.options.ticket()
    } catch (error) {
      this.withoutTicket(error)
      return
    }
    if (this.isOver()) return
    try {
      const url = `${this.options.url}?token=${encodeURIComponent(ticket)}`
      this.socket = this.environment.connect(url, ['storm.v1'])
    } catch {
      this.lost(BROKEN)
      return
    }
    this.socket.onmessage = ({ data }) => this.heard(data)
    // Of a refused handshake it says 1006: browsers keep the status and Retry-After from pages,
    // so that there is only the backoff. `onerror` would say less.
    this.socket.onclose = ({ code }) => this.lost(code)
  }

  /** Says goodbye; nothing is told any more. */
  leave(): void {
    if (this.over) return
    this.over = true
    this.timer?.cancel()
    this.commands?.end()
    if (this.socket === null) return
    this.socket.onmessage = this.socket.onclose = null
    this.socket.close(1000)
  }

  /** Asks for a sign of life. */
  probe(): void {
    if (this.commands === null || this.probedAt !== null) return
    this.probedAt = this.environment.now()
    this.commands.ping()
  }

  private withoutTicket(error: unknown): void {
    const { status, retryAfterMs } = (error ?? {}) as { status?: unknown; retryAfterMs?: unknown }
    if (status === 401 || status === 403) {
      const code = status === 401 ? REFUSED : FORBIDDEN
      this.end({ reason: { code, text: nameOf(code) }, refused: true, lasted: 0 })
      return
    }
    const answered = typeof status === 'number' && status > 0
    this.end({
      reason: { code: BROKEN, text: answered ? 'unavailable' : 'network' },
      ...(typeof retryAfterMs === 'number' ? { afterMs: retryAfterMs } : {}),
      lasted: 0,
    })
  }

  private heard(data: unknown): void {
    if (this.over) return
    this.heardAt = this.environment.now()
    this.probedAt = null
    const frame = read(data)
    if (frame === null) return
    if (this.commands === null) {
      if (frame.type === 'hello') this.begin(frame)
      return
    }
    if (frame.type === 'ack') this.commands.answered(frame)
    else if (frame.type !== 'pong' && frame.type !== 'hello') {
      if (frame.type === 'error') this.commands.answered(frame)
      if (frame.type === 'reconnect')
        this.told = { at: this.heardAt + frame.after_ms, reason: frame.reason }
      this.options.received(frame)
    }
  }

  private begin(hello: Hello): void {
    this.timer?.cancel()
    this.hello = hello
    this.greetedAt = this.environment.now()
    this.commands = new Commands(this.environment, hello.limits, (text) => this.socket?.send(text))
    this.watch(hello.keepalive.heartbeat_seconds * 1000 + LATE_MS)
    this.options.greeted(hello)
  }

  /** One timer for all: silence, a ping without an answer, a server that should have closed. */
  private watch(patience: number): void {
    this.timer = this.environment.after(WATCH_MS, () => {
      const now = this.environment.now()
      if (this.probedAt !== null && now - this.probedAt >= PROBE_MS) this.lost(BROKEN)
      else if (this.told !== null && now >= this.told.at + LEAVE_MS) this.lost(RESTART)
      else {
        if (now - this.heardAt > patience) this.probe()
        this.watch(patience)
      }
    })
  }

  private lost(code: number): void {
    const now = this.environment.now()
    this.end({
      reason: { code, text: this.told?.reason ?? nameOf(code) },
      ...(this.told === null ? {} : { afterMs: Math.max(0, this.told.at - now) }),
      lasted: this.hello === null ? 0 : now - this.greetedAt,
    })
  }

  private end(ending: Ending): void {
    if (this.over) return
    this.leave()
    this.options.ended(ending)
  }

  /** Looked at after a wait, in which it may have changed. */
  private isOver(): boolean {
    return this.over
  }
}

function read(data: unknown): ServerFrame | null {
  try {
    const frame: unknown = typeof data === 'string' ? JSON.parse(data) : null
    return typeof frame === 'object' ? (frame as ServerFrame | null) : null
  } catch {
    return null
  }
}
