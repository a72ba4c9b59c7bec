import type {
  DurableEvent,
  ErrorReply,
  Message,
  MessageEvent,
  ServerEvent,
  Subscribed,
} from '@/protocol'

import { ChannelLog } from './channelLog'
import { isRetryable, type Commands } from './commands'
import type { Environment, Timer } from './environment'
import { Filler, MOST_PAGES, PAGE, type FillResult, type History } from './filler'

const RETRY_MS = 2_000
/** Of doublings of the wait after refusals. */
const MOST_DOUBLINGS = 4
const OWN_REF = 'subscribe:'

export interface Filled {
  channelId: number
  from: number
  to: number
}

export interface ChannelLogsOptions {
  environment: Environment
  /** Without it, gaps become resets. */
  history?: History
  deliver(event: ServerEvent): void
  /** What was kept of the channel is void. */
  reset(channelId: number): void
  filled(what: Filled): void
  /** The gateway does not let this channel be received. */
  refused(channelId: number, error: ErrorReply): void
}

/** The channels that are received, over all connections: each event once, and in order. */
export class ChannelLogs {
  private readonly logs = new Map<number, ChannelLog>()
  private readonly filler: Filler | null
  private readonly timers = new Set<Timer>()
  private commands: Commands | null = null
  private userId = ''
  private epoch = ''
  private asked = 0

  constructor(private readonly options: ChannelLogsOptions) {
    const { environment, history } = options
    this.filler =
      history === undefined
        ? null
        : new Filler({
            environment,
            history,
            isWanted: (log) => this.isCurrent(log),
            isConnected: () => this.commands !== null,
            deliver: (log, message) => this.deliverOld(log, message),
            done: (log, result) => this.filledOrNot(log, result),
          })
  }

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

  /** Nothing more is delivered, from history neither; the positions are kept. */
  stop(): void {
    for (const [channelId, { last, rewound }] of this.logs)
      this.logs.set(channelId, new ChannelLog(channelId, last, rewound))
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
    const isLast = event.type === 'channel.deleted' || (event.type === 'member.left' && aboutMe)
    if (isLast && !log.isReplayed(event.seq)) this.logs.delete(event.channel_id)
    this.options.deliver(event)
  }

  subscribed(reply: Subscribed): void {
    const log = this.logs.get(reply.channel_id)
    if (log?.state !== 'asking' || reply.ref !== log.ref) return
    const hasGap = log.subscribed(reply)
    const { rewound } = log
    log.rewound = false
    if (rewound) this.options.reset(reply.channel_id)
    if (hasGap && this.isCurrent(log)) this.bridge(log, reply.gap?.to ?? 0, reply.head)
  }

  /** An error, perhaps about a subscribe. */
  failed(reply: ErrorReply): void {
    if (!reply.ref?.startsWith(OWN_REF)) return
    const log = [...this.logs.values()].find(({ ref }) => ref === reply.ref)
    if (log?.state !== 'asking') return
    if (isRetryable(reply.code)) {
      const doubled = RETRY_MS * 2 ** Math.min(log.refusals, MOST_DOUBLINGS)
      log.refusals += 1
      this.after(reply.retry_after_ms ?? doubled, () => {
        if (this.isCurrent(log) && log.ref === reply.ref) this.ask(log)
      })
    } else {
      this.logs.delete(log.channelId)
      this.options.refused(log.channelId, reply)
    }
  }

  private each(heads: Record<string, number>, look: (log: ChannelLog, head: number) => void): void {
    for (const log of this.logs.values()) {
      const head = heads[String(log.channelId)]
      if (head !== undefined) look(log, head)
    }
  }

  /** The numbering began anew: the positions mean nothing any more. */
  private forget(): void {
    for (const [channelId, { last, rewound }] of this.logs)
      this.logs.set(channelId, new ChannelLog(channelId, null, rewound || last !== null))
  }

  private isCurrent(log: ChannelLog): boolean {
    return this.logs.get(log.channelId) === log
  }

  private ask(log: ChannelLog): void {
    log.ask()
    if (log.state !== 'asking' || this.commands === null) return
    this.asked += 1
    log.ref = `${OWN_REF}${this.asked}`
    this.commands.tellLater({
      type: 'subscribe',
      channel_id: log.channelId,
      ...(log.last === null ? {} : { since: log.last }),
      ref: log.ref,
    })
  }

  // --- gaps ---

  private bridge(log: ChannelLog, gapTo: number, head: number): void {
    if (this.filler !== null && gapTo - log.position <= PAGE * MOST_PAGES) {
      log.fill(gapTo, head)
      this.filler.fill(log)
      return
    }
    // What is replayed behind the gap comes on this connection still.
    log.take(gapTo)
    this.options.reset(log.channelId)
  }

  private deliverOld(log: ChannelLog, message: Message): void {
    log.take(message.seq)
    this.options.deliver(asEvent(message))
  }

  private filledOrNot(log: ChannelLog, result: FillResult): void {
    if (result === 'later') log.skip(log.position)
    else log.skip(log.fillTo)
    const { channelId, fillFrom: from, fillTo: to } = log
    if (result === 'filled') this.options.filled({ channelId, from, to })
    else if (result === 'failed') this.options.reset(channelId)
    if (this.isCurrent(log)) this.ask(log)
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
