/** What a socket must be able to do: the browser's WebSocket is one. */
export interface Socket {
  readonly readyState: number
  onopen: ((event: never) => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  onerror: ((event: never) => void) | null
  send(text: string): void
  close(code?: number, reason?: string): void
}

/** Everything that comes from outside, so that a test or another runtime can put its own there. */
export interface Environment {
  connect(url: string, protocols: string[]): Socket
  /** Milliseconds since 1970. */
  now(): number
  after(milliseconds: number, run: () => void): Timer
  /** 0 to 1. */
  random(): number
  isOnline(): boolean
  listen(type: 'online' | 'offline' | 'visible', run: () => void): () => void
}

export interface Timer {
  cancel(): void
}

/** Of a browser; in other runtimes there is always a network, and always somebody who looks. */
export function browserEnvironment(): Environment {
  const inPage = typeof window !== 'undefined' && typeof document !== 'undefined'
  return {
    connect: (url, protocols) => new WebSocket(url, protocols) as unknown as Socket,
    now: () => Date.now(),
    after(milliseconds, run) {
      const timer = setTimeout(run, milliseconds)
      return { cancel: () => clearTimeout(timer) }
    },
    random: () => Math.random(),
    // Only a plain `false` says something: runtimes without a page do not know.
    isOnline: () => typeof navigator === 'undefined' || (navigator.onLine as unknown) !== false,
    listen(type, run) {
      if (!inPage) return () => undefined
      if (type !== 'visible') {
        window.addEventListener(type, run)
        return () => window.removeEventListener(type, run)
      }
      const changed = () => {
        if (document.visibilityState === 'visible') run()
      }
      document.addEventListener('visibilitychange', changed)
      return () => document.removeEventListener('visibilitychange', changed)
    },
  }
}
