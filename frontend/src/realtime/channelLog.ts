import type { Subscribed } from '@/protocol'

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
  /** Of the subscribe that counts: the answer to an earlier one would be about another place. */
  ref = ''
  /** Refusals in a row that were not for good. */
  refusals = 0
  fillFrom = 0
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

  /** Everything up to here was taken. */
  get position(): number {
    return this.last ?? 0
  }

  judge(seq: number): Verdict {
    if (this.last === null || this.state === 'filling') return 'later'
    if (seq <= this.last) return 'known'
    if (seq === this.last + 1 || (this.state === 'live' && this.isReplayed(seq))) return 'take'
    return this.state === 'asking' ? 'later' : 'missed'
  }

  /** Older than the latest subscribe: what it says about rights was overruled by the answer. */
  isReplayed(seq: number): boolean {
    return seq <= this.replayTo
  }

  take(seq: number): void {
    this.last = Math.max(this.position, seq)
  }

  ask(): void {
    if (this.state !== 'filling') this.state = 'asking'
  }

  /** The answer to the subscribe. Whether there is a gap to be filled or skipped. */
  subscribed({ head, gap, reset }: Subscribed): boolean {
    this.ahead = 0
    this.refusals = 0
    this.rewound ||= reset === true
    if (this.last === null || reset === true) this.last = head
    this.replayTo = head
    this.state = 'live'
    return (gap?.to ?? 0) > this.last
  }

  /** Read the gap from history. */
  fill(gapTo: number, head: number): void {
    this.state = 'filling'
    this.fillFrom = this.position + 1
    // Half of what was replayed is read too: at a gap's very end, a busy channel would have moved
    // on by the next subscribe, and gap again.
    this.fillTo = Math.max(gapTo, Math.floor((gapTo + head) / 2))
  }

  /** Go on behind it, and ask anew. */
  skip(to: number): void {
    this.take(to)
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
