/** What a connection takes if `hello` has not said yet. */
const CHANNELS = 200

interface Subscriber {
  subscribe(channelId: number, since: number | null): void
  unsubscribe(channelId: number): void
}

/**
 * Which channels this page receives: as many as a connection may, those used last first. Always
 * from a seq that the HTTP API told before: what comes after it arrives as an event, so that a
 * page of history that is asked for later leaves no hole between the two.
 */
export class Subscriptions {
  /** In the order of use, the latest last. */
  private readonly order = new Set<number>()
  limit = CHANNELS

  constructor(
    private readonly subscriber: () => Subscriber | null,
    /** A channel is received no more: what is kept of it would grow old. */
    private readonly onDropped: (channelId: number) => void,
  ) {}

  has(channelId: number): boolean {
    return this.order.has(channelId)
  }

  /** Receives a channel if there is room; `needed`: even if the least used one must go. */
  add(channelId: number, since: number, needed: boolean): boolean {
    if (this.order.has(channelId)) {
      if (needed) this.touch(channelId)
      return true
    }
    if (this.order.size >= this.limit) {
      if (!needed) return false
      this.shrink(this.limit - 1)
    }
    this.order.add(channelId)
    this.subscriber()?.subscribe(channelId, since)
    return true
  }

  private touch(channelId: number): void {
    this.order.delete(channelId)
    this.order.add(channelId)
  }

  remove(channelId: number): void {
    if (!this.order.delete(channelId)) return
    this.subscriber()?.unsubscribe(channelId)
    this.onDropped(channelId)
  }

  /** `hello` has told how many a connection may have. */
  setLimit(limit: number): void {
    this.limit = limit
    this.shrink(limit)
  }

  private shrink(count: number): void {
    for (const channelId of this.order) {
      if (this.order.size <= count) return
      this.remove(channelId)
    }
  }

  /** The connection is gone for good, and what it received with it. */
  clear(): void {
    this.order.clear()
  }
}
