import type { Ack, Command, ErrorReply, Limits } from '@/protocol'

import type { Environment, Timer } from './environment'

/** A command failed. `code` as in docs/api.md. */
export class CommandError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly retryAfterMs?: number,
  ) {
    super(message)
    this.name = 'CommandError'
  }
}

/** The same may succeed later, with the same ref. */
export function isRetryable(code: string): boolean {
  return code === 'unavailable' || code === 'rate_limited' || code === 'internal'
}

interface Waiting {
  resolve: (ack: Ack) => void
  reject: (error: CommandError) => void
}

const LOST = 'The connection ended before the answer came.'
/** Left of the burst, for what the server counts otherwise than we do. */
const SPARE = 5

/**
 * The commands of one connection: sent no faster than `hello.limits` allows, and those with a ref
 * waited for. Nothing is kept over a connection's end: whoever waits is told.
 */
export class Commands {
  private readonly waiting = new Map<string, Waiting>()
  private urgent: Command[] = []
  private later: Command[] = []
  private tokens: number
  private countedAt: number
  private timer: Timer | null = null
  private ended = false

  constructor(
    private readonly environment: Environment,
    private readonly limits: Limits,
    private readonly write: (command: Command) => void,
  ) {
    this.tokens = Math.max(1, limits.commands_burst - SPARE)
    this.countedAt = environment.now()
  }

  /** Resolves with the ack; rejects with CommandError. */
  ask(command: Command, ref: string): Promise<Ack> {
    return new Promise((resolve, reject) => {
      if (this.ended || this.waiting.has(ref)) {
        const text = this.ended ? LOST : 'A command with this ref is under way.'
        reject(new CommandError(this.ended ? 'unavailable' : 'invalid_command', text))
        return
      }
      this.waiting.set(ref, { resolve, reject })
      this.tell({ ...command, ref })
    })
  }

  tell(command: Command): void {
    this.urgent.push(command)
    this.pump()
  }

  /** Behind everything that a person waits for. */
  tellLater(command: Command): void {
    this.later.push(command)
    this.pump()
  }

  /** Whether somebody waited for it. */
  answered(reply: Ack | ErrorReply): boolean {
    const waiting = this.waiting.get(reply.ref ?? '')
    if (waiting === undefined) return false
    this.waiting.delete(reply.ref ?? '')
    if (reply.type === 'ack') waiting.resolve(reply)
    else
      waiting.reject(new CommandError(reply.code, reply.message, reply.retry_after_ms ?? undefined))
    return true
  }

  end(): void {
    this.ended = true
    this.timer?.cancel()
    this.urgent = []
    this.later = []
    for (const { reject } of this.waiting.values()) reject(new CommandError('unavailable', LOST))
    this.waiting.clear()
  }

  private pump(): void {
    if (this.timer !== null) return
    const now = this.environment.now()
    const { commands_per_second: rate, commands_burst: burst } = this.limits
    const most = Math.max(1, burst - SPARE)
    this.tokens = Math.min(most, this.tokens + ((now - this.countedAt) / 1000) * rate)
    this.countedAt = now
    while (this.tokens >= 1) {
      const command = this.urgent.shift() ?? this.later.shift()
      if (command === undefined) return
      this.tokens -= 1
      this.write(command)
    }
    if (this.urgent.length + this.later.length === 0) return
    const wait = Math.ceil(((1 - this.tokens) / rate) * 1000)
    this.timer = this.environment.after(wait, () => {
      this.timer = null
      this.pump()
    })
  }
}
