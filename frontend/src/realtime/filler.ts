import type { Message } from '@/protocol'

import type { ChannelLog } from './channelLog'
import type { Environment } from './environment'

export const PAGE = 200
/** A gap of more pages is not worth the reading: the newest page is. */
export const MOST_PAGES = 10
const READS_TRIED = 3
const RETRY_MS = 2_000
const LONGEST_RETRY_MS = 30_000

/** Messages after a seq, ascending. Must settle in some time. */
export type History = (channelId: number, after: number, limit: number) => Promise<Message[]>

/** `later`: the connection is gone, the next one asks anew. `failed`: tried often enough. */
export type FillResult = 'filled' | 'failed' | 'later'

export interface FillerOptions {
  environment: Environment
  history: History
  isWanted(log: ChannelLog): boolean
  isConnected(): boolean
  deliver(log: ChannelLog, message: Message): void
  done(log: ChannelLog, result: FillResult): void
}

/** Reads what the server does not replay from history: one channel after the other. */
export class Filler {
  private readonly queue = new Set<ChannelLog>()
  private running = false

  constructor(private readonly options: FillerOptions) {}

  fill(log: ChannelLog): void {
    this.queue.add(log)
    if (!this.running) void this.run()
  }

  private async run(): Promise<void> {
    this.running = true
    for (const log of this.queue) {
      const result = await this.read(log)
      this.queue.delete(log)
      if (result !== null && this.options.isWanted(log)) this.options.done(log, result)
    }
    this.running = false
  }

  /** Null: nobody wants it any more. */
  private async read(log: ChannelLog): Promise<FillResult | null> {
    let failures = 0
    // Twice the pages that a gap has at most: a history that does not advance is a failure too.
    for (let reads = 0; reads < 2 * MOST_PAGES; reads++) {
      if (!this.options.isWanted(log)) return null
      if (log.position >= log.fillTo) return 'filled'
      let page: Message[]
      try {
        page = await this.options.history(log.channelId, log.position, PAGE)
      } catch (error) {
        failures += 1
        if (!this.options.isConnected()) return 'later'
        if (failures === READS_TRIED) return 'failed'
        await this.pause(error)
        continue
      }
      for (const message of page) {
        if (!this.options.isWanted(log)) return null
        if (message.seq > log.fillTo) return 'filled'
        if (message.seq > log.position) this.options.deliver(log, message)
      }
      if (page.length < PAGE) return 'filled'
    }
    return 'failed'
  }

  private pause(error: unknown): Promise<void> {
    const { retryAfterMs } = (error ?? {}) as { retryAfterMs?: unknown }
    const wait = typeof retryAfterMs === 'number' ? retryAfterMs : RETRY_MS
    return new Promise((wake) => {
      this.options.environment.after(Math.min(wait, LONGEST_RETRY_MS), wake)
    })
  }
}
