/** What a count needs to know of a channel, as the HTTP API tells it. */
export interface Counted {
  head: number
  read_seq: number
  unread: number
}

/**
 * Counts what is unread in a channel: the server's count up to some seq, and each live message
 * after it. An event that the server's count holds already (replayed after a reconnection) is
 * not counted twice.
 */
export class Unread {
  readSeq: number
  /** Messages between `readSeq` and `baseHead`, as the server counted them. */
  private base: number
  private baseHead: number
  /** Later ones, ascending. */
  private live: number[] = []
  /** Those among all of them that call the user. */
  private mentionSeqs: number[] = []

  constructor(counted: Counted) {
    this.readSeq = counted.read_seq
    this.base = counted.unread
    this.baseHead = counted.head
  }

  get count(): number {
    return this.base + this.live.length
  }

  get mentions(): number {
    return this.mentionSeqs.length
  }

  /** A message of somebody else came. */
  message(seq: number, mentioned: boolean): void {
    if (mentioned) this.mention(seq)
    if (seq <= this.readSeq || seq <= this.baseHead || seq <= (this.live.at(-1) ?? 0)) return
    this.live.push(seq)
  }

  /** An unread message that calls the user was found. */
  mention(seq: number): void {
    if (seq > this.readSeq && !this.mentionSeqs.includes(seq)) this.mentionSeqs.push(seq)
  }

  /** The cursor moved, here or in another tab. @returns false when only the server can count. */
  read(seq: number): boolean {
    if (seq <= this.readSeq) return true
    this.readSeq = seq
    this.live = this.live.filter((each) => each > seq)
    this.mentionSeqs = this.mentionSeqs.filter((each) => each > seq)
    if (this.base === 0) return true
    if (seq < this.baseHead) return false
    this.base = 0
    return true
  }

  /** A message was deleted. @returns false when only the server can count. */
  deleted(messageSeq: number): boolean {
    this.mentionSeqs = this.mentionSeqs.filter((each) => each !== messageSeq)
    if (messageSeq <= this.readSeq) return true
    if (messageSeq <= this.baseHead) return this.base === 0
    this.live = this.live.filter((each) => each !== messageSeq)
    return true
  }

  /** The server counted anew. */
  counted(answer: Counted): void {
    // An answer from before the last step of the cursor counts too much, and one that is older
    // than what was counted here too little.
    if (answer.read_seq < this.readSeq || answer.head < this.baseHead) return
    this.readSeq = answer.read_seq
    this.base = answer.unread
    this.baseHead = answer.head
    this.live = this.live.filter((each) => each > answer.head)
    this.mentionSeqs = this.mentionSeqs.filter((each) => each > answer.read_seq)
  }
}
