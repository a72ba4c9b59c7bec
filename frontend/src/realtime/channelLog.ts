import type { Gap } from '@/protocol'

const DOUBTFUL_HEARTBEATS = 2

/**
 * `asking`: a subscribe is to be sent, or not answered yet. `filling`: history is being read; what
 * comes meanwhile is dropped, and asked for again afterwards.
 */
export type LogState = 'asking' | 'live' | 'filling'

/** `take`: hand it on. `known`: had before. `missed`: ask anew. `later`: it will come again. */
export type Verdict = 'take' | 'known' | 'missed' | 'later'

/**
 * The position in one channel's log. Any doubt (a connection that broke, a jump in seq, a
 * heartbeat whose head is further) is mended the same way: subscribe again with `since`, take what
 * follows, drop what is known.
 */
export class ChannelLog {
  state: LogState = 'asking'
  fillTo = 0
  /** Up to here a replay answers, which may leave superseded events out. */
  private replayTo = 0
  /** Heartbeats in a row whose head was below. */
  private ahead = 0

  constructor(
    readonly channelId: number,
    /** The newest seq taken; null until `subscribed` says where live begins. */
    public last: number | null,
    /** An earlier position was given up; whoever has the rows is to be told at `subscribed`. */
    public rewound = false,
  ) {}

  judge(seq: number): Verdict {
    if (this.last === null || this.state === 'filling') return 'later'
    if (seq <= this.last) return 'known'
    if (seq === this.last + 1 || (this.state === 'live' && seq <= this.replayTo)) return 'take'
    return this.state === 'asking' ? 'later' : 'missed'
  }

  take(seq: number): void {
    this.last = Math.max(this.last ?? 0, seq)
  }

  ask(): void {
    if (this.state !== 'filling') this.state = 'asking'
  }

  /** The answer to the subscribe. What to do about a gap is for the caller to say. */
  subscribed(head: number, gap: Gap | undefined, reset: boolean): 'live' | 'gap' {
    this.ahead = 0
    this.rewound ||= reset
    if (this.last === null || reset) this.last = head
    this.replayTo = head
    this.state = 'live'
    return gap !== undefined && (gap.to ?? 0) > this.last ? 'gap' : 'live'
  }

  /** Read the gap from history. */
  fill(gap: Gap, head: number): void {
    const to = gap.to ?? 0
    this.state = 'filling'
    // Half of what was replayed is read too: at a gap's very end, a busy channel would have moved
    // on by the next subscribe, and gap again.
    this.fillTo = Math.max(to, Math.floor((to + head) / 2))
  }

  /** Give the gap up: go on behind it. */
  skip(gap: Gap): void {
    this.last = Math.max(this.last ?? 0, gap.to ?? 0)
    this.state = 'live'
  }

  /** History is read up to `fillTo`: subscribe again from there. */
  filled(): void {
    this.take(this.fillTo)
    this.state = 'asking'
  }

  isShortOf(head: number): boolean {
    return this.state === 'live' && this.last !== null && this.last < head
  }

  /**
   * The server gave less than what is here: its database may have been restored from a backup. A
   * node that lags behind looks the same, so it takes two heartbeats in a row, and only the answer
   * to the subscribe, which is read from the store, sets the log back.
   */
  isAheadOf(head: number): boolean {
    if (this.state !== 'live' || this.last === null || head >= this.last) {
      this.ahead = 0
      return false
    }
    this.ahead += 1
    return this.ahead >= DOUBTFUL_HEARTBEATS
  }
}
