import type { Ack } from '@/protocol'

import {
  CommandError,
  MemoryOutboxStorage,
  Outbox,
  type Exclusively,
  type OutboxEntry,
  type OutboxStorage,
} from '..'
import { FakeWorld, settle } from './fakes'

/** The gateway's side: what arrived, and how each attempt is answered. */
export class Post {
  readonly arrived: OutboxEntry[] = []
  private readonly answers: ((outcome: Ack | Error) => void)[] = []

  send = (entry: OutboxEntry): Promise<Ack> => {
    this.arrived.push({ ...entry })
    return new Promise((resolve, reject) => {
      this.answers.push((outcome) =>
        outcome instanceof Error ? reject(outcome) : resolve(outcome),
      )
    })
  }

  async acks(): Promise<void> {
    this.answers.shift()?.({ type: 'ack', ref: this.arrived.at(-1)?.ref ?? '' })
    await settle()
  }

  async refuses(code: string, retryAfterMs?: number): Promise<void> {
    this.answers.shift()?.(new CommandError(code, `It is ${code}.`, retryAfterMs))
    await settle()
  }

  async breaks(): Promise<void> {
    this.answers.shift()?.(new TypeError('broken'))
    await settle()
  }

  get payloads(): string[] {
    return this.arrived.map(({ payload }) => payload)
  }
}

export const unlocked: Exclusively = (_, work) => work()

export function outboxOf(
  post: Post,
  world = new FakeWorld(),
  storage: OutboxStorage = new MemoryOutboxStorage(),
  userId = 'alice',
  exclusively = unlocked,
): Outbox {
  let dice = 0
  // Each throw is another one, as refs need it.
  world.random = () => (dice = (dice + 0.123456789) % 1)
  return new Outbox(storage, post.send, { userId, environment: world, exclusively })
}

export const write = (outbox: Outbox, payload: string, channel_id = 1): Promise<OutboxEntry> =>
  outbox.add({ channel_id, payload })

export const states = (outbox: Outbox): string[] =>
  outbox.entries().map(({ payload, state }) => `${payload} ${state}`)
