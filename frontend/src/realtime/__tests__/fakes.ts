import type { Command, DurableEvent, Hello, Message, ServerEvent } from '@/protocol'

import {
  GatewayClient,
  type ConnectionStatus,
  type Environment,
  type GatewayClientOptions,
  type Socket,
  type Timer,
} from '..'

/** Lets everything run that waits for a promise only. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
}

/** A clock that stands still, a network that the test plays, dice that show what the test says. */
export class FakeWorld implements Environment {
  time = 1_000_000
  dice = 0.5
  online = true
  readonly sockets: FakeSocket[] = []
  refuseSockets = false
  private timers: { at: number; run: () => void }[] = []
  private readonly listeners = new Set<{ type: string; run: () => void }>()

  connect(url: string, protocols: string[]): Socket {
    if (this.refuseSockets) throw new DOMException('refused', 'SecurityError')
    const socket = new FakeSocket(url, protocols)
    this.sockets.push(socket)
    return socket
  }

  now(): number {
    return this.time
  }

  after(milliseconds: number, run: () => void): Timer {
    const timer = { at: this.time + milliseconds, run }
    this.timers.push(timer)
    return { cancel: () => (this.timers = this.timers.filter((other) => other !== timer)) }
  }

  random(): number {
    return this.dice
  }

  isOnline(): boolean {
    return this.online
  }

  listen(type: 'online' | 'offline' | 'visible', run: () => void): () => void {
    const listener = { type, run }
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  happens(type: 'online' | 'offline' | 'visible'): void {
    if (type !== 'visible') this.online = type === 'online'
    for (const listener of [...this.listeners]) if (listener.type === type) listener.run()
  }

  get listening(): number {
    return this.listeners.size
  }

  get ticking(): number {
    return this.timers.length
  }

  /** Time passes, and everything that was due happens in its order. */
  async pass(milliseconds: number): Promise<void> {
    await settle()
    const until = this.time + milliseconds
    for (;;) {
      const [next] = this.timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.timers = this.timers.filter((timer) => timer !== next)
      this.time = Math.max(this.time, next.at)
      next.run()
      await settle()
    }
    this.time = until
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1)
    if (socket === undefined) throw new Error('No socket was opened.')
    return socket
  }
}

export class FakeSocket implements Socket {
  readyState = 0
  onopen: Socket['onopen'] = null
  onmessage: Socket['onmessage'] = null
  onclose: Socket['onclose'] = null
  onerror: Socket['onerror'] = null
  readonly sent: Command[] = []
  closedWith: number | undefined

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Command)
  }

  close(code?: number): void {
    this.closedWith = code ?? 1005
  }

  /** The server says something. */
  says(...frames: object[]): void {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) })
  }

  /** The server, or the network, ends it. */
  ends(code = 1006): void {
    this.onclose?.({ code, reason: '' })
  }

  of<Type extends Command['type']>(type: Type): Extract<Command, { type: Type }>[] {
    return this.sent.filter((command) => command.type === type) as Extract<
      Command,
      { type: Type }
    >[]
  }

  /** The ref of the latest subscribe to the channel. */
  refOf(channelId: number): string {
    return this.of('subscribe').findLast(({ channel_id }) => channel_id === channelId)?.ref ?? ''
  }

  /** Answers the latest subscribe to the channel. */
  subscribed(channelId: number, head: number, more: object = {}): void {
    const ref = this.refOf(channelId)
    this.says({ type: 'subscribed', channel_id: channelId, head, ref, ...more })
  }

  refuses(channelId: number, code: string, more: object = {}): void {
    this.says({ type: 'error', code, message: 'No.', ref: this.refOf(channelId), ...more })
  }
}

export function hello(changes: Partial<Hello> = {}): Hello {
  return {
    type: 'hello',
    connection_id: 'node-1.1',
    user_id: 'alice',
    node: 'node-1',
    keepalive: { ping_seconds: 30, dead_seconds: 90, heartbeat_seconds: 30 },
    limits: {
      payload_characters: 4000,
      frame_bytes: 65536,
      commands_per_second: 20,
      commands_burst: 60,
      channels: 200,
      replay_events: 1000,
    },
    epoch: 'first',
    ...changes,
  }
}

/** The event with this seq. */
export function message(seq: number, channelId = 1): DurableEvent {
  return {
    type: 'message',
    channel_id: channelId,
    payload: `number ${seq}`,
    user_id: 'bob',
    id: 100 + seq,
    seq,
    sent_at: '2026-01-31T12:00:00.000Z',
  }
}

export function messages(from: number, to: number, channelId = 1): DurableEvent[] {
  return Array.from({ length: to - from + 1 }, (_, index) => message(from + index, channelId))
}

/** The same as HTTP has it. */
export function stored(seq: number, changes: Partial<Message> = {}): Message {
  return {
    id: 100 + seq,
    channel_id: 1,
    user_id: 'bob',
    subject: 'channels.1',
    payload: `number ${seq}`,
    created_at: '2026-01-31T12:00:00.000Z',
    seq,
    edited_at: null,
    deleted: false,
    author_deleted: false,
    reactions: [],
    ...changes,
  }
}

/** What a request of ours fails with when the gateway answers so. */
export function answered(status: number, retryAfterMs?: number): Error {
  return Object.assign(new Error(`It is ${status}.`), { status, retryAfterMs })
}

/** A client in its world, and everything that it told. */
export class Scene {
  readonly world = new FakeWorld()
  readonly client: GatewayClient
  tickets = 0
  /** What the next ticket is refused with. */
  refusal: Error | undefined
  readonly statuses: ConnectionStatus[] = []
  readonly events: ServerEvent[] = []
  readonly told: string[] = []

  constructor(options: Partial<GatewayClientOptions> = {}) {
    this.client = new GatewayClient({
      url: 'ws://storm.test/ws',
      ticket: () => {
        this.tickets += 1
        return this.refusal === undefined
          ? Promise.resolve(`ticket ${this.tickets}`)
          : Promise.reject(this.refusal)
      },
      environment: this.world,
      ...options,
    })
    this.client.on('status', (status) => this.statuses.push(status))
    this.client.on('event', (event) => this.events.push(event))
    this.client.on('reset', ({ channelId }) => this.told.push(`reset ${channelId}`))
    this.client.on('filled', ({ channelId, from, to }) =>
      this.told.push(`filled ${channelId} ${from}-${to}`),
    )
    this.client.on('refused', ({ channelId, error }) =>
      this.told.push(`refused ${channelId} ${error.code}`),
    )
  }

  get socket(): FakeSocket {
    return this.world.socket
  }

  get status(): ConnectionStatus {
    return this.client.status
  }

  /** The client starts, and the server greets it. */
  async begin(changes: Partial<Hello> = {}): Promise<void> {
    this.client.start()
    await settle()
    this.socket.says(hello(changes))
  }

  /** Whatever time that takes, there is a new connection. */
  async again(changes: Partial<Hello> = {}): Promise<void> {
    const before = this.world.sockets.length
    for (let waited = 0; this.world.sockets.length === before; waited += 50) {
      if (waited > 30_000) throw new Error('The client did not come back.')
      await this.world.pass(50)
    }
    this.socket.says(hello(changes))
  }

  /** The seqs that were delivered, in their order. */
  seqs(channelId = 1): number[] {
    return this.events.flatMap((event) =>
      'seq' in event && event.type !== 'read' && event.channel_id === channelId ? [event.seq] : [],
    )
  }
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}

/** A scene that receives channel 1 live, from `since` on. */
export async function live(since: number, scene = new Scene()): Promise<Scene> {
  await scene.begin()
  scene.client.subscribe(1, since)
  scene.socket.subscribed(1, since)
  return scene
}
