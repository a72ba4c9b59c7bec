import type {
  DurableEvent,
  ErrorReply,
  Gap,
  Message,
  MessageEvent,
  ServerEvent,
  Subscribed,
} from '@/protocol'

import { ChannelLog } from './channelLog'
import type { Commands } from './commands'
import { isRetryable } from './commands'
import type { Environment, Timer } from './environment'

const PAGE = 200
/** A gap of more than so many pages is not worth the reading: the newest page is. */
const MOST_PAGES = 25
const READS_TRIED = 3
const RETRY_MS = 2_000
const OWN_REF = 'subscribe:'

export interface ChannelLogsOptions {
  environment: Environment
  /** The messages after a seq, ascending; without it, gaps become resets. */
  history?: (channelId: number, after: number, limit: number) => Promise<Message[]>
  deliver(event: ServerEvent): void
  /** What was kept of the channel is void. */
  reset(channelId: number): void
  /** The gateway does not let this channel be received. */
  refused(channelId: number, error: ErrorReply): void
}

/** The channels that are received, over all connections: each event once, and in order. */
export class ChannelLogs {
  private readonly logs = new Map<number, ChannelLog>()
  private readonly timers = new Set<Timer>()
  private commands: Commands | null = null
  private userId = ''
  private epoch = ''

  constructor(private readonly options: ChannelLogsOptions) {}

  has(channelId: number): boolean {
    return this.logs.has(channelId)
  }

  subscribe(channelId: number, since: number | null): void {
    const log = new ChannelLog(channelId, since)
    this.logs.set(channelId, log)
    this.ask(log)
  }

  unsubscribe(channelId: number): void {
    if (this.logs.delete(channelId))
      this.commands?.tellLater({ type: 'unsubscribe', channel_id: channelId })
  }

  /** A new connection: every channel is asked for again, from where it stands. */
  opened(commands: Commands, userId: string, epoch: string | undefined): void {
    this.commands = commands
    this.userId = userId
    if (epoch !== undefined && this.epoch !== '' && epoch !== this.epoch) this.forget()
    this.epoch = epoch ?? this.epoch
    for (const log of this.logs.values()) this.ask(log)
  }

  closed(): void {
    this.commands = null
    for (const timer of this.timers) timer.cancel()
    this.timers.clear()
  }

  /** The numbering began anew: the positions mean nothing any more. */
  private forget(): void {
    for (const [channelId, { last, rewound }] of this.logs)
      this.logs.set(channelId, new ChannelLog(channelId, null, rewound || last !== null))
  }

  /** What comes right behind a heartbeat looks like more than the server has: at once. */
  doubt(heads: Record<string, number>): void {
    this.each(heads, (log, head) => {
      if (log.isAheadOf(head)) this.ask(log)
    })
  }

  /** What was under way beside the heartbeat has come by now. */
  compare(heads: Record<string, number>): void {
    this.each(heads, (log, head) => {
      if (log.isShortOf(head)) this.ask(log)
    })
  }

  private each(heads: Record<string, number>, look: (log: ChannelLog, head: number) => void): void {
    for (const log of this.logs.values()) {
      const head = heads[String(log.channelId)]
      if (head !== undefined) look(log, head)
    }
  }

  durable(event: DurableEvent): void {
    const log = this.logs.get(event.channel_id)
    const aboutMe = 'user_id' in event && event.user_id === this.userId
    if (log === undefined) {
      // An invitation: the first thing that one hears of a channel.
      if (event.type === 'member.joined' && aboutMe) this.options.deliver(event)
      return
    }
    const verdict = log.judge(event.seq)
    if (verdict === 'missed') this.ask(log)
    if (verdict !== 'take') return
    log.take(event.seq)
    // After these nothing more comes.
    if (event.type === 'channel.deleted' || (event.type === 'member.left' && aboutMe))
      this.logs.delete(event.channel_id)
    this.options.deliver(event)
  }

  subscribed(reply: Subscribed): void {
    const log = this.logs.get(reply.channel_id)
    if (log?.state !== 'asking') return
    const found = log.subscribed(reply.head, reply.gap, reply.reset === true)
    const { rewound } = log
    log.rewound = false
    if (rewound) this.options.reset(reply.channel_id)
    if (found === 'gap' && reply.gap !== undefined) this.bridge(log, reply.gap, reply.head)
  }

  /** Whether the reply was about a subscribe. */
  failed(reply: ErrorReply): boolean {
    const channelId = Number(reply.ref?.startsWith(OWN_REF) ? reply.ref.slice(OWN_REF.length) : NaN)
    if (Number.isNaN(channelId)) return false
    const log = this.logs.get(channelId)
    if (log?.state !== 'asking') return true
    if (isRetryable(reply.code)) {
      this.after(reply.retry_after_ms ?? RETRY_MS, () => {
        if (this.logs.get(channelId) === log && log.state === 'asking') this.ask(log)
      })
    } else {
      this.logs.delete(channelId)
      this.options.refused(channelId, reply)
    }
    return true
  }

  private ask(log: ChannelLog): void {
    log.ask()
    if (log.state !== 'asking' || this.commands === null) return
    this.commands.tellLater({
      type: 'subscribe',
      channel_id: log.channelId,
      ...(log.last === null ? {} : { since: log.last }),
      ref: `${OWN_REF}${log.channelId}`,
    })
  }

  private bridge(log: ChannelLog, gap: Gap, head: number): void {
    if (this.options.history === undefined || (gap.to ?? 0) - gap.from >= PAGE * MOST_PAGES) {
      log.skip(gap)
      this.options.reset(log.channelId)
      return
    }
    log.fill(gap, head)
    void this.read(log)
  }

  private async read(log: ChannelLog): Promise<void> {
    let failures = 0
    const stale = (): boolean => this.logs.get(log.channelId) !== log
    while ((log.last ?? 0) < log.fillTo) {
      let page: Message[] | undefined
      try {
        page = await this.options.history?.(log.channelId, log.last ?? 0, PAGE)
      } catch {
        failures += 1
      }
      if (stale()) return
      if (page === undefined) {
        if (failures >= READS_TRIED) {
          this.options.reset(log.channelId)
          break
        }
        await new Promise<void>((wake) => void this.options.environment.after(RETRY_MS, wake))
        if (stale()) return
        continue
      }
      for (const message of page) {
        if (message.seq > log.fillTo || message.seq <= (log.last ?? 0)) continue
        log.take(message.seq)
        this.options.deliver(asEvent(message))
      }
      if (page.length < PAGE || (page.at(-1)?.seq ?? 0) >= log.fillTo) break
    }
    log.filled()
    this.ask(log)
  }

  private after(milliseconds: number, run: () => void): void {
    const timer = this.options.environment.after(milliseconds, () => {
      this.timers.delete(timer)
      run()
    })
    this.timers.add(timer)
  }
}

/** A message of history as the event that it once was, in its present state. */
function asEvent(message: Message): MessageEvent {
  return {
    type: 'message',
    channel_id: message.channel_id,
    payload: message.payload,
    user_id: message.user_id,
    id: message.id,
    seq: message.seq,
    sent_at: message.created_at,
    ...(message.edited_at === null ? {} : { edited_at: message.edited_at }),
    ...(message.deleted ? { deleted: true } : {}),
  }
}
