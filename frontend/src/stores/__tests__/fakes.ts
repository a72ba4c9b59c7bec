import { createPinia, disposePinia, setActivePinia, type Pinia } from 'pinia'
import { vi } from 'vitest'

import type { Ack, Channel, Command, ServerEvent } from '@/protocol'
import type { ConnectionStatus, OutboxEntry } from '@/realtime'

import { at, ServerLog } from './log'

/** The connection to the gateway, without one: tests say what comes and look at what went. */
export class FakeClient {
  static latest: FakeClient | null = null
  status: ConnectionStatus = { kind: 'idle' }
  readonly subscribed = new Map<number, number | null>()
  readonly unsubscribed: number[] = []
  readonly commands: Command[] = []
  readonly reads: [number, number][] = []
  readonly typed: number[] = []
  starts = 0
  stopped = false
  tries = 0
  /** What a command is answered with. */
  answer: (command: Command) => Promise<Ack> = (command) =>
    Promise.resolve({ type: 'ack', ref: (command as { ref?: string }).ref ?? 'x' })
  private readonly listeners = new Map<string, ((what: never) => void)[]>()

  constructor(
    readonly options: {
      url: string
      ticket: () => Promise<string>
      accessToken: () => Promise<string | null>
      history: (channelId: number, after: number, limit: number) => Promise<unknown[]>
    },
  ) {
    FakeClient.latest = this
  }

  on(type: string, listener: (what: never) => void): () => void {
    const others = this.listeners.get(type) ?? []
    this.listeners.set(type, [...others, listener])
    return () => this.listeners.delete(type)
  }

  private tell(type: string, what: unknown): void {
    for (const listener of this.listeners.get(type) ?? []) listener(what as never)
  }

  start(): void {
    this.starts += 1
  }

  stop(): void {
    this.stopped = true
  }

  tryNow(): void {
    this.tries += 1
  }

  subscribe(channelId: number, since: number | null): void {
    this.subscribed.set(channelId, since)
  }

  unsubscribe(channelId: number): void {
    this.subscribed.delete(channelId)
    this.unsubscribed.push(channelId)
  }

  command(command: Command): Promise<Ack> {
    this.commands.push(command)
    return this.answer(command)
  }

  typing(channelId: number): void {
    this.typed.push(channelId)
  }

  read(channelId: number, seq: number): void {
    this.reads.push([channelId, seq])
  }

  // --- what tests say ---

  become(status: ConnectionStatus): void {
    this.status = status
    this.tell('status', status)
  }

  online(restored = false): void {
    this.become({ kind: 'online', since: 7, restored })
  }

  event(...events: ServerEvent[]): void {
    for (const event of events) this.tell('event', event)
  }

  hello(channels: number): void {
    this.tell('hello', { type: 'hello', limits: { channels, payload_characters: 4000 } })
  }

  refuse(channelId: number): void {
    this.tell('refused', { channelId, error: { type: 'error', code: 'not_found' } })
  }

  reset(channelId: number): void {
    this.tell('reset', { channelId })
  }
}

/** An outbox that sends at once when `open`, and remembers over its instances like a browser. */
export class FakeOutbox {
  static latest: FakeOutbox | null = null
  static stored: OutboxEntry[] = []
  private listeners: (() => void)[] = []
  private refs = 0
  flushes = 0

  constructor(
    _storage: unknown,
    private readonly send: (entry: OutboxEntry) => Promise<Ack>,
    private readonly options: { userId: string },
  ) {
    FakeOutbox.latest = this
    void Promise.resolve().then(() => this.changed())
  }

  on(_type: string, listener: () => void): () => void {
    this.listeners.push(listener)
    return () => (this.listeners = [])
  }

  private changed(): void {
    for (const listener of this.listeners) listener()
  }

  entries(channelId?: number): OutboxEntry[] {
    return FakeOutbox.stored.filter(
      (entry) =>
        entry.user_id === this.options.userId &&
        (channelId === undefined || entry.channel_id === channelId),
    )
  }

  add({ channel_id, payload }: { channel_id: number; payload: string }): Promise<OutboxEntry> {
    this.refs += 1
    const entry: OutboxEntry = {
      ref: `ref-${this.refs}`,
      user_id: this.options.userId,
      channel_id,
      payload,
      created_at: at(0),
      state: 'pending',
    }
    FakeOutbox.stored = [...FakeOutbox.stored, entry]
    this.changed()
    return Promise.resolve(entry)
  }

  /** Sends the oldest. */
  async deliver(): Promise<void> {
    const entry = this.entries().find(({ state }) => state === 'pending')
    if (!entry) throw new Error('Nothing waits.')
    try {
      await this.send(entry)
      FakeOutbox.stored = FakeOutbox.stored.filter(({ ref }) => ref !== entry.ref)
    } catch (error) {
      const { code, message } = error as { code: string; message: string }
      this.put({ ...entry, state: 'failed', error: { code, message } })
    }
    this.changed()
  }

  private put(entry: OutboxEntry): void {
    FakeOutbox.stored = FakeOutbox.stored.map((each) => (each.ref === entry.ref ? entry : each))
  }

  retry(ref: string): Promise<void> {
    const entry = FakeOutbox.stored.find((each) => each.ref === ref)
    if (entry) {
      const again: OutboxEntry = { ...entry, state: 'pending' }
      delete again.error
      this.put(again)
    }
    this.changed()
    return Promise.resolve()
  }

  discard(ref: string): Promise<void> {
    FakeOutbox.stored = FakeOutbox.stored.filter((each) => each.ref !== ref)
    this.changed()
    return Promise.resolve()
  }

  flush(): void {
    this.flushes += 1
  }
}

export const fakeRealtime = {
  GatewayClient: FakeClient,
  Outbox: FakeOutbox,
  IndexedDbOutboxStorage: vi.fn(),
  MemoryOutboxStorage: vi.fn(),
}

type Answer = { status: number; body?: unknown; headers?: Record<string, string> }
type Route = (url: URL, body: unknown) => unknown

const ANSWER = Symbol('answer')

/** An answer that is not a plain 200. */
export function answer(status: number, body?: unknown, headers?: Record<string, string>): object {
  return { [ANSWER]: { status, body, headers } }
}

/** The HTTP API: routes by `METHOD /path`, where `:x` stands for anything. */
export class FakeApi {
  readonly calls: string[] = []
  private readonly routes = new Map<string, Route>()
  private readonly held = new Map<string, (() => void)[]>()

  constructor() {
    vi.stubGlobal('fetch', (path: string, init: RequestInit) => this.fetch(path, init))
  }

  on(route: string, handler: Route): this {
    this.routes.set(route, handler)
    return this
  }

  /** Answers of this route are made, and wait on their way until `release`. */
  hold(route: string): void {
    this.held.set(route, [])
  }

  async release(route: string): Promise<void> {
    const waiting = this.held.get(route) ?? []
    this.held.delete(route)
    for (const go of waiting) go()
    await settle()
  }

  count(call: string): number {
    return this.calls.filter((each) => each === call).length
  }

  private async fetch(path: string, init: RequestInit): Promise<Response> {
    const url = new URL(path, 'http://storm.test')
    const method = init.method ?? 'GET'
    this.calls.push(`${method} ${path}`)
    const route = [...this.routes.keys()].findLast((each) => matches(each, method, url.pathname))
    if (!route) return respond({ status: 404, body: { code: 'not_found', message: path } })
    const handler = this.routes.get(route) as Route
    const body: unknown = typeof init.body === 'string' ? JSON.parse(init.body) : undefined
    const result = (await handler(url, body)) as { [ANSWER]?: Answer } | undefined
    const given: Answer = result?.[ANSWER] ?? { status: 200, body: result }
    const waiting = this.held.get(route)
    if (waiting) await new Promise<void>((go) => waiting.push(go))
    return respond(given)
  }
}

function matches(route: string, method: string, path: string): boolean {
  const [wanted, pattern = ''] = route.split(' ')
  const parts = pattern.split('/')
  const given = path.split('/')
  return (
    wanted === method &&
    parts.length === given.length &&
    parts.every((part, index) => part.startsWith(':') || part === given[index])
  )
}

function respond({ status, body, headers }: Answer): Response {
  const text = body === undefined || status === 204 ? null : JSON.stringify(body)
  return new Response(text, { status, ...(headers ? { headers } : {}) })
}

/** Lets everything happen that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  for (let n = 0; n < 30; n++) await Promise.resolve()
  await vi.advanceTimersByTimeAsync(0)
}

/** The next frame. */
export async function frame(): Promise<void> {
  await vi.advanceTimersByTimeAsync(20)
}

export function channelOf(id: number, more: Partial<Channel> = {}): Channel {
  return {
    id,
    name: `channel ${id}`,
    topic: '',
    visibility: 'public',
    created_by: 'bob',
    created_at: at(0),
    head: 0,
    member_count: 2,
    role: 'member',
    read_seq: 0,
    unread: 0,
    peer: null,
    ...more,
  }
}

/** A server with channels and their logs, as the HTTP API shows them. */
export class FakeServer extends FakeApi {
  readonly channels = new Map<number, Channel>()
  readonly logs = new Map<number, ServerLog>()

  constructor() {
    super()
    this.on('GET /auth/me', () => ({
      id: 'me',
      display_name: 'Me',
      created_at: at(0),
      admin: false,
    }))
    this.on('GET /users', () => [])
    this.on('GET /channels', () => [...this.channels.keys()].map((id) => this.channel(id)))
    this.on('GET /channels/:id', (url) => {
      const id = Number(url.pathname.split('/')[2])
      return this.channels.has(id) ? this.channel(id) : answer(404, { code: 'not_found' })
    })
    this.on('GET /channels/:id/messages', (url) => {
      const query = Object.fromEntries(
        [...url.searchParams].map(([name, value]) => [name, Number(value)]),
      )
      return this.log(Number(url.pathname.split('/')[2])).page(query)
    })
  }

  add(id: number, more: Partial<Channel> = {}): ServerLog {
    this.channels.set(id, channelOf(id, more))
    const log = new ServerLog(id)
    this.logs.set(id, log)
    return log
  }

  change(id: number, more: Partial<Channel>): void {
    this.channels.set(id, { ...(this.channels.get(id) as Channel), ...more })
  }

  log(id: number): ServerLog {
    return this.logs.get(id) as ServerLog
  }

  private channel(id: number): Channel {
    const channel = this.channels.get(id) as Channel
    return { ...channel, head: Math.max(channel.head, this.log(id).head) }
  }
}

let pinia: Pinia | null = null

/** A page that was just opened: new stores, the same browser. */
export function newPage(): void {
  if (pinia) disposePinia(pinia)
  pinia = createPinia()
  setActivePinia(pinia)
}

/** A new browser, with a clock that stands still. */
export function newBrowser(): void {
  vi.useFakeTimers()
  localStorage.clear()
  FakeOutbox.stored = []
  FakeOutbox.latest = null
  FakeClient.latest = null
  newPage()
}
