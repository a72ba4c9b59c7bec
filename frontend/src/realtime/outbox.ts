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

const SHORTEST_MS = 250

const alone: Exclusively = async (name, work) => {
  const locks =
    typeof navigator === 'undefined' ? undefined : (navigator as { locks?: LockManager }).locks
  let began = false as boolean
  try {
    if (locks)
      return await locks.request(name, () => {
        began = true
        return work()
      })
  } catch (error) {
    // Browsers that refuse storage to a page refuse locks, too; the ref is enough.
    if (began) throw error
  }
  return work()
}

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
  /** Not in the storage yet: not to be sent, nor anything behind it. */
  private readonly unsaved = new Set<string>()
  /** Found in the storage: another page may have them too, and may have sent them by now. */
  private readonly found = new Set<string>()
  /** Channels with an entry under way (null), or waiting for its next attempt. */
  private readonly busy = new Map<number, Timer | null>()
  private readonly loaded: Promise<void>
  private failures = 0
  private stopped = false

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
    this.unsaved.add(entry.ref)
    try {
      await this.keep(entry)
    } finally {
      // Even if it will not outlive the page, it is sent.
      this.unsaved.delete(entry.ref)
      this.next(entry.channel_id)
    }
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
    if (this.kept.has(ref)) await this.drop(ref)
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

  /** Attempts nothing more. What is kept stays in the storage, for the next outbox of this user. */
  stop(): void {
    this.stopped = true
    for (const timer of this.busy.values()) timer?.cancel()
  }

  private async load(): Promise<void> {
    // What cannot be read is not to keep anybody from writing.
    const entries = await this.storage.load(this.options.userId).catch(() => [])
    for (const entry of entries) {
      this.kept.set(entry.ref, entry)
      this.found.add(entry.ref)
    }
    if (this.kept.size > 0) this.changed()
  }

  private next(channelId: number): void {
    if (this.stopped || this.busy.has(channelId)) return
    const entry = this.entries(channelId).find(({ state }) => state === 'pending')
    if (entry === undefined || this.unsaved.has(entry.ref)) return
    this.busy.set(channelId, null)
    void this.attempt(entry).then((wait) => {
      this.busy.delete(channelId)
      if (wait === null) this.next(channelId)
      else if (!this.stopped) this.nextAfter(wait, channelId)
    })
  }

  private nextAfter(wait: number, channelId: number): void {
    const timer = this.environment.after(wait, () => {
      this.busy.delete(channelId)
      this.next(channelId)
    })
    this.busy.set(channelId, timer)
  }

  /** Resolves with the time to wait before the next attempt; null: it needs none. */
  private async attempt({ ref, channel_id: channelId }: OutboxEntry): Promise<number | null> {
    try {
      await this.exclusively(`storm-outbox-${this.options.userId}-${channelId}`, () =>
        this.sendOnce(ref),
      )
      this.failures = 0
      return null
    } catch (error) {
      const known = error instanceof CommandError
      if (known && !isRetryable(error.code)) {
        const { code, message } = error
        const entry = this.kept.get(ref)
        if (entry)
          await this.keep({ ...entry, state: 'failed', error: { code, message } }).catch(() => null)
        return null
      }
      const jittered = backoff(this.failures, () => this.environment.random())
      this.failures += 1
      return (known ? error.retryAfterMs : undefined) ?? Math.max(SHORTEST_MS, jittered)
    }
  }

  /** Under the lock: unless it was given up, or another page has dealt with it meanwhile. */
  private async sendOnce(ref: string): Promise<void> {
    if (this.found.has(ref)) await this.compare(ref)
    const entry = this.kept.get(ref)
    if (this.stopped || entry?.state !== 'pending') return
    await this.send(entry)
    await this.drop(ref)
  }

  private async compare(ref: string): Promise<void> {
    const stored = (await this.storage.load(this.options.userId)).find((one) => one.ref === ref)
    if (!this.kept.has(ref) || stored?.state === 'pending') return
    if (stored === undefined) this.kept.delete(ref)
    else this.kept.set(ref, stored)
    this.changed()
  }

  private async drop(ref: string): Promise<void> {
    this.kept.delete(ref)
    this.changed()
    await this.storage.remove(ref)
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
