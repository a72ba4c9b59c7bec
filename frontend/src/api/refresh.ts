import { send } from './client'
import { errorOf } from './errors'

const LOCK = 'storm.refresh'
/** When a tab of this browser renewed the tokens last. A time, never a token. */
const RENEWED_AT = 'storm.refreshedAt'

let running: Promise<boolean> | null = null

/**
 * Renews the tokens unless another tab has done so since `since` (ms). A refresh token is good
 * once, so that tabs that use it at the same time would end the login of both: they take turns.
 *
 * @returns false when the login is over; fails when nobody could say, as without a network.
 */
export function refresh(since: number): Promise<boolean> {
  running ??= inTurn(async () => {
    if (renewedAt() > since) return true
    return (await post()) !== null
  }).finally(() => (running = null))
  return running
}

/** Renews the tokens in any case. @returns the access token, null when the login is over. */
export function renewAccessToken(): Promise<string | null> {
  return inTurn(post)
}

async function post(): Promise<string | null> {
  const answer = await send('POST', '/auth/refresh', {})
  if (answer.status === 401) return null
  if (!answer.ok) throw await errorOf(answer)
  try {
    localStorage.setItem(RENEWED_AT, String(Date.now()))
  } catch {
    // Without storage the other tabs renew for themselves.
  }
  return ((await answer.json()) as { access_token: string }).access_token
}

function renewedAt(): number {
  try {
    return Number(localStorage.getItem(RENEWED_AT) ?? 0)
  } catch {
    return 0
  }
}

// Without locks (a page over plain HTTP has none), the tabs of a browser may meet; the gateway
// gives both the same new pair if they come within ten seconds. This tab alone takes turns.
let turn: Promise<unknown> = Promise.resolve()

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const locks = (navigator as { locks?: LockManager }).locks
  if (locks) return withLock(locks, work)
  return withoutLock(work)
}

async function withLock<T>(locks: LockManager, work: () => Promise<T>): Promise<T> {
  let began = false as boolean
  try {
    return await locks.request(LOCK, () => {
      began = true
      return work()
    })
  } catch (error) {
    if (began) throw error
    // Where storage is refused, so are locks.
    return withoutLock(work)
  }
}

function withoutLock<T>(work: () => Promise<T>): Promise<T> {
  const mine = turn.then(work)
  turn = mine.catch(() => undefined)
  return mine
}
