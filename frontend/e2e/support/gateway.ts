import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const STORM = process.env.STORM ?? resolve(import.meta.dirname, '../../../.venv/bin/storm')
const READY_MS = 30_000

/** The environment without settings of this machine. */
function withoutSettings(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('STORM')),
  )
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port was given')
  return address.port
}

/** A real gateway on SQLite, which can be killed and started again at the same address. */
export class Gateway {
  private child: ChildProcess | null = null
  private said = ''

  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly settings: Record<string, string>,
  ) {}

  static async start(settings: Record<string, string> = {}): Promise<Gateway> {
    const folder = await mkdtemp(join(tmpdir(), 'storm-e2e-'))
    const gateway = new Gateway(await freePort(), folder, settings)
    await gateway.start()
    return gateway
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get dataDir(): string {
    return join(this.folder, 'data')
  }

  /** @param settings beside those that it has, until it ends. */
  async start(settings: Record<string, string> = {}): Promise<void> {
    this.said = ''
    const child = spawn(STORM, ['serve'], {
      env: {
        ...withoutSettings(),
        STORM_ADDR: `127.0.0.1:${this.port}`,
        STORM_DATA_DIR: this.dataDir,
        STORM_AUTH_RATE_LIMIT_ENABLED: 'false',
        STORM_ADMINS: 'root',
        ...this.settings,
        ...settings,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child = child
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text: Buffer) => {
        this.said = (this.said + text.toString()).slice(-20_000)
      })
    const deadline = Date.now() + READY_MS
    for (;;) {
      const ready = await fetch(`${this.url}/readyz`).then(
        ({ status }) => status === 200,
        () => false,
      )
      if (ready) return
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`the gateway did not become ready:\n${this.said}`)
      await new Promise((wake) => setTimeout(wake, 50))
    }
  }

  /** At once and without a word, as when the machine loses power. */
  async kill(): Promise<void> {
    await this.end('SIGKILL')
  }

  /** As an operator does: clients are told to come back. */
  async drain(): Promise<void> {
    await this.end('SIGTERM')
  }

  /** Another command of `storm`, to its end. */
  async storm(...args: string[]): Promise<void> {
    const child = spawn(STORM, args, {
      env: withoutSettings(),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (text: Buffer) => (said += text.toString()))
    const [code] = (await once(child, 'exit')) as [number | null]
    if (code !== 0) throw new Error(`storm ${args.join(' ')} ended with ${code}:\n${said}`)
  }

  /** `storm tail` of a channel, as it is used in a terminal; with `--json`, `shown` knows the texts. */
  tail(
    channelId: number,
    userId: string,
    ...more: string[]
  ): { printed: () => string; shown: () => string[]; end: () => Promise<void> } {
    const child = spawn(
      STORM,
      ['tail', String(channelId), '--as', userId, ...more, '--url', this.url],
      {
        env: { ...withoutSettings(), STORM_DATA_DIR: this.dataDir },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    let text = ''
    let printed = ''
    child.stdout.on('data', (part: Buffer) => (text += part.toString()))
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (part: Buffer) => (printed += part.toString()))
    return {
      printed: () => printed,
      shown: () =>
        text
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line) as { type: string; payload?: string })
          .flatMap(({ type, payload }) => (type === 'message' ? [payload ?? ''] : [])),
      async end() {
        if (child.exitCode !== null) return
        const ended = once(child, 'exit')
        child.kill('SIGINT')
        await ended
      },
    }
  }

  async remove(): Promise<void> {
    await this.kill()
    await rm(this.folder, { recursive: true, force: true })
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.child
    this.child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
}
