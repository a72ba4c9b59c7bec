import { ApiError, errorOf } from './errors'
import { refresh } from './refresh'

const TIMEOUT_MS = 15_000

export interface RequestOptions {
  body?: unknown
  /** Empty and undefined values are left out. */
  query?: Record<string, string | number | undefined>
  signal?: AbortSignal
  /** @default 15000 */
  timeoutMs?: number
  /** False for what a new access token would not help: logging in and the like. @default true */
  renew?: boolean
}

let ended: (() => void) | null = null

/** Who is told when neither token is good any more. */
export function onSessionEnded(listener: () => void): void {
  ended = listener
}

/**
 * Asks the gateway. On 401 the access token is renewed once and the request repeated; if that
 * does not help the login is over, and whoever listens by `onSessionEnded` is told.
 */
export async function request<T>(
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  options: RequestOptions = {},
): Promise<T> {
  const began = Date.now()
  let answer = await send(method, path, options)
  if (answer.status === 401 && options.renew !== false) {
    if (await refresh(began)) answer = await send(method, path, options)
    if (answer.status === 401) ended?.()
  }
  if (!answer.ok) throw await errorOf(answer)
  if (answer.status === 204) return undefined as T
  try {
    return (await answer.json()) as T
  } catch {
    throw new ApiError(answer.status, 'unknown', 'The answer is no JSON.')
  }
}

/** One request, without a second try. Fails with ApiError only when no answer came. */
export async function send(
  method: string,
  path: string,
  { body, query, signal, timeoutMs = TIMEOUT_MS }: RequestOptions,
): Promise<Response> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), timeoutMs)
  try {
    return await fetch(path + search(query), {
      method,
      // The cookies carry the login: no script ever sees a refresh token.
      credentials: 'same-origin',
      headers: {
        Accept: 'application/json',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal,
    })
  } catch (error) {
    // The caller wanted it to end: that is not a failure to tell of.
    if (signal?.aborted) throw error
    if (late.signal.aborted) throw new ApiError(0, 'timeout', 'No answer in time.')
    throw new ApiError(0, 'network', 'The server cannot be reached.')
  } finally {
    clearTimeout(timer)
  }
}

function search(query: RequestOptions['query']): string {
  const given = Object.entries(query ?? {}).filter(
    ([, value]) => value !== undefined && value !== '',
  )
  if (given.length === 0) return ''
  return `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()}`
}
