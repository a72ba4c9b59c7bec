import type { Ack } from '@/protocol'

import { backoff } from './backoff'
import { CommandError, isRetryable } from './commands'
import { browserEnvironment, type Environment, type Timer } from './environment'
import { Listeners } from './listeners'
import type { OutboxEntry, OutboxStorage } from './outboxStorage'

/** Lets only one page of a user send at a time; the Web Locks API, where there is one. */
export type Exclusively = <T>(name: string, work: () => Promise<T>) => Promise<T>

export interface OutboxOptions {
  userId: string
  environment?: Environment
  exclusively?: Exclusively
}

const alone: Exclusively = (name, work) =>
  typeof navigator !== 'undefined' && 'locks' in navigator
    ? navigator.locks.request(name, work)
    : work()

/**
 * What was written and is not known to be stored. Kept before the first attempt and until the ack;
 * each channel's entries go one after the other, always under the ref that they were given, so
 * that a second attempt stores nothing twice.
 */
export class Outbox {
  private readonly environment: Environment
  private readonly exclusively: Exclusively
  private readonly listeners = new Listeners<{ change: undefined }>()
  private readonly kept = new Map<string, OutboxEntry>()
  /** Channels with an entry under way, or waiting for its next attempt. */
  private readonly busy = new Map<number, Timer | null>()
  private readonly loaded: Promise<void>
  private failures = 0

  constructor(
    private readonly storage: OutboxStorage,
    private readonly send: (entry: OutboxEntry) => Promise<Ack>,
    private readonly options: OutboxOptions,
  ) {
    this.environment = options.environment ?? browserEnvironment()
    this.exclusively = options.exclusively ?? alone
    this.loaded = this.load()
  }

  on(name: 'change', listener: () => void): () => void {
    return this.listeners.on(name, listener)
  }

  /** In the order in which they were written. */
  entries(channelId?: number): OutboxEntry[] {
    const all = [...this.kept.values()]
    return channelId === undefined ? all : all.filter(({ channel_id }) => channel_id === channelId)
  }

  /** Resolves as soon as the entry is kept; it is sent as soon as it can be. */
  async add(what: { channel_id: number; payload: string }): Promise<OutboxEntry> {
    await this.loaded
    const entry: OutboxEntry = {
      ref: this.newRef(),
      user_id: this.options.userId,
      channel_id: what.channel_id,
      payload: what.payload,
      created_at: new Date(this.environment.now()).toISOString(),
      state: 'pending',
    }
    this.kept.set(entry.ref, entry)
    this.changed()
    await this.storage.save(entry)
    this.next(entry.channel_id)
    return entry
  }

  /** Another attempt for one that was refused, under the same ref. */
  async retry(ref: string): Promise<void> {
    const entry = this.kept.get(ref)
    if (entry?.state !== 'failed') return
    const { error: _, ...rest } = entry
    await this.keep({ ...rest, state: 'pending' })
    this.next(entry.channel_id)
  }

  async discard(ref: string): Promise<void> {
    await this.loaded
    if (!this.kept.delete(ref)) return
    this.changed()
    await this.storage.remove(ref)
  }

  /** The connection is there again: every channel's next entry is tried at once. */
  async flush(): Promise<void> {
    await this.loaded
    this.failures = 0
    for (const [channelId, timer] of this.busy) {
      if (timer === null) continue
      timer.cancel()
      this.busy.delete(channelId)
    }
    for (const { channel_id } of this.kept.values()) this.next(channel_id)
  }

  private async load(): Promise<void> {
    for (const entry of await this.storage.load(this.options.userId))
      this.kept.set(entry.ref, entry)
    if (this.kept.size > 0) this.changed()
  }

  private next(channelId: number): void {
    if (this.busy.has(channelId)) return
    const entry = this.entries(channelId).find(({ state }) => state === 'pending')
    if (entry === undefined) return
    this.busy.set(channelId, null)
    void this.attempt(entry)
  }

  private async attempt(entry: OutboxEntry): Promise<void> {
    const channelId = entry.channel_id
    let wait: number | null = null
    try {
      await this.exclusively(`storm-outbox-${this.options.userId}-${channelId}`, async () => {
        // Given up while this page waited for its turn.
        if (this.kept.has(entry.ref)) await this.send(entry)
      })
      this.failures = 0
      this.kept.delete(entry.ref)
      await this.storage.remove(entry.ref)
      this.changed()
    } catch (error) {
      const known = error instanceof CommandError
      if (!known || isRetryable(error.code)) {
        wait = known ? (error.retryAfterMs ?? null) : null
        wait ??= Math.max(
          250,
          backoff(this.failures, () => this.environment.random()),
        )
        this.failures += 1
      } else if (this.kept.has(entry.ref)) {
        const { code, message } = error
        await this.keep({ ...entry, state: 'failed', error: { code, message } })
      }
    }
    if (wait === null) {
      this.busy.delete(channelId)
      this.next(channelId)
      return
    }
    const timer = this.environment.after(wait, () => {
      this.busy.delete(channelId)
      this.next(channelId)
    })
    this.busy.set(channelId, timer)
  }

  private async keep(entry: OutboxEntry): Promise<void> {
    this.kept.set(entry.ref, entry)
    this.changed()
    await this.storage.save(entry)
  }

  private changed(): void {
    this.listeners.tell('change', undefined)
  }

  private newRef(): string {
    const part = (): string => Math.floor(this.environment.random() * 2 ** 32).toString(36)
    return `w-${this.environment.now().toString(36)}-${part()}${part()}`
  }
}
