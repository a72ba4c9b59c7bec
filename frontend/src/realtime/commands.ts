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
/** Left of the burst: for pings, and for what the server counts otherwise than we do. */
const SPARE = 5
/** Commands that may wait for their turn; at 20 a second the last of them waits 25 s. */
const MOST_QUEUED = 500
const FULL_RETRY_MS = 1_000

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
    private readonly write: (text: string) => void,
  ) {
    this.tokens = this.most
    this.countedAt = environment.now()
  }

  /** Resolves with the ack; rejects with CommandError. */
  ask(command: Command, ref: string): Promise<Ack> {
    const refusal = this.refusal(command, ref)
    if (refusal !== null) return Promise.reject(refusal)
    return new Promise((resolve, reject) => {
      this.waiting.set(ref, { resolve, reject })
      this.urgent.push({ ...command, ref })
      this.pump()
    })
  }

  /** Nobody waits for an answer; of two that wait for their turn, the later one counts. */
  tell(command: Command): void {
    if (this.ended) return
    const index = this.urgent.findIndex((other) => other.ref == null && isAlike(other, command))
    if (index >= 0) this.urgent[index] = command
    else this.urgent.push(command)
    this.pump()
  }

  /** Subscribes and unsubscribes: behind everything that a person waits for. */
  tellLater(command: Command & { channel_id: number }): void {
    if (this.ended) return
    this.later = this.later.filter(
      (other) => !('channel_id' in other) || other.channel_id !== command.channel_id,
    )
    this.later.push(command)
    this.pump()
  }

  /** At once: what waits for its turn would hide that the connection is dead. */
  ping(): void {
    this.tokens -= 1
    this.write(JSON.stringify({ type: 'ping' } satisfies Command))
  }

  /** The answer to what somebody waits for. */
  answered(reply: Ack | ErrorReply): void {
    if (reply.type === 'error' && reply.code === 'rate_limited') this.slowDown(reply.retry_after_ms)
    const waiting = this.waiting.get(reply.ref ?? '')
    if (waiting === undefined) return
    this.waiting.delete(reply.ref ?? '')
    if (reply.type === 'ack') waiting.resolve(reply)
    else waiting.reject(new CommandError(reply.code, reply.message, reply.retry_after_ms))
  }

  end(): void {
    this.ended = true
    this.timer?.cancel()
    this.urgent = []
    this.later = []
    for (const { reject } of this.waiting.values()) reject(new CommandError('unavailable', LOST))
    this.waiting.clear()
  }

  private get most(): number {
    return Math.max(1, this.limits.commands_burst - SPARE)
  }

  private refusal(command: Command, ref: string): CommandError | null {
    if (this.ended) return new CommandError('unavailable', LOST)
    if (this.waiting.has(ref))
      return new CommandError('invalid_command', 'A command with this ref is under way.')
    if (this.urgent.length >= MOST_QUEUED)
      return new CommandError('rate_limited', 'Too many commands wait already.', FULL_RETRY_MS)
    // The server would end the connection, and the next one with the next attempt.
    if (bytesOf(JSON.stringify({ ...command, ref })) > this.limits.frame_bytes)
      return new CommandError('payload_too_large', 'This is too long to be sent.')
    return null
  }

  private slowDown(milliseconds = FULL_RETRY_MS): void {
    this.refill()
    const missing = (milliseconds / 1000) * this.limits.commands_per_second
    this.tokens = Math.min(this.tokens, 1 - missing)
  }

  private refill(): void {
    const now = this.environment.now()
    const gained = ((now - this.countedAt) / 1000) * this.limits.commands_per_second
    this.tokens = Math.min(this.most, this.tokens + gained)
    this.countedAt = now
  }

  private pump(): void {
    if (this.timer !== null) return
    this.refill()
    while (this.tokens >= 1) {
      const command = this.urgent.shift() ?? this.later.shift()
      if (command === undefined) return
      this.tokens -= 1
      this.write(JSON.stringify(command))
    }
    if (this.urgent.length + this.later.length === 0) return
    const wait = Math.ceil(((1 - this.tokens) / this.limits.commands_per_second) * 1000)
    this.timer = this.environment.after(wait, () => {
      this.timer = null
      this.pump()
    })
  }
}

function isAlike(one: Command, other: Command): boolean {
  const channel = (command: Command): number | null =>
    'channel_id' in command ? command.channel_id : null
  return one.type === other.type && channel(one) === channel(other)
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length
}
