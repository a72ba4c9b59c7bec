import { defineStore } from 'pinia'
import { ref } from 'vue'

import { ApiError, asApiError, auth, onSessionEnded } from '@/api'
import { i18n } from '@/i18n'
import type { User } from '@/protocol'

import { useToastsStore } from './toasts'

export type SessionPhase = 'unknown' | 'anonymous' | 'authenticated'

const RETRY_MS = [1_000, 2_000, 4_000, 8_000]

/** Who is logged in. The tokens are in cookies that no script can read. */
export const useSessionStore = defineStore('session', () => {
  const toasts = useToastsStore()
  const user = ref<User | null>(null)
  const phase = ref<SessionPhase>('unknown')
  /** Why it is still unknown who is logged in: the server does not answer. It is asked again. */
  const problem = ref<ApiError | null>(null)
  /** What to do while the user is still known, at a logout. */
  const farewells = new Set<() => Promise<void> | void>()
  let restoring: Promise<void> | null = null

  /** Under way: requests that end this login and begin the next. */
  const changes = new Set<Promise<User>>()
  /** A logout is under way. */
  let leaving = false

  onSessionEnded(() => lost('errors.endedElsewhere'))

  /** Finds out whether the cookies are those of a login. Settles when that is known. */
  function restore(): Promise<void> {
    restoring ??= askWhoIsThere().finally(() => (restoring = null))
    return restoring
  }

  async function askWhoIsThere(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        enter(await auth.me())
        return
      } catch (error) {
        const failure = asApiError(error)
        if (failure.status === 401) {
          leave()
          return
        }
        problem.value = failure
        const pause = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 0
        await new Promise((done) => setTimeout(done, failure.retryAfterMs ?? pause))
        // A login on this page was quicker.
        if (phase.value !== 'unknown') return
      }
    }
  }

  async function register(fields: {
    user_id: string
    password: string
    display_name?: string
  }): Promise<void> {
    await auth.register(fields)
    await login(fields.user_id, fields.password)
  }

  async function login(userId: string, password: string): Promise<void> {
    try {
      enter(await auth.login(userId, password))
    } catch (error) {
      const failure = asApiError(error)
      if (failure.status !== 401) throw error
      // "Log in again" would be no help to somebody who just tried.
      throw new ApiError(401, 'wrongLogin', failure.message)
    }
  }

  /** Fails when the server cannot be reached: only it can end the login and its cookies. */
  async function logout(): Promise<void> {
    await end(auth.logout)
  }

  async function update(change: { display_name?: string; password?: string }): Promise<void> {
    const changing = auth.updateMe(change)
    changes.add(changing)
    try {
      user.value = await changing
    } catch (error) {
      changes.delete(changing)
      if (asApiError(error).status === 401) lost('errors.endedElsewhere')
      throw error
    } finally {
      changes.delete(changing)
    }
  }

  /** Resolves when no change of the login is under way. */
  async function settled(): Promise<void> {
    await Promise.allSettled([...changes])
  }

  async function deleteAccount(): Promise<void> {
    await end(auth.deleteMe)
  }

  async function end(ask: () => Promise<unknown>): Promise<void> {
    // The server closes the connection of this page too: nobody needs to be told why.
    leaving = true
    try {
      await ask()
      await Promise.allSettled(
        [...farewells].map(async (work) => {
          await work()
        }),
      )
      leave()
    } finally {
      leaving = false
    }
  }

  /** Calls `work` at a logout, when the user is still known. Not when a login ended elsewhere. */
  function beforeLeaving(work: () => Promise<void> | void): () => void {
    farewells.add(work)
    return () => farewells.delete(work)
  }

  /** The login ended elsewhere. Drafts and the outbox wait for the user's next login. */
  function lost(reason: string): void {
    // A new password ends the login before its answer brings the cookies of the next one.
    if (changes.size > 0) return
    if (leaving || phase.value !== 'authenticated') return
    leave()
    toasts.show({ text: i18n.global.t(reason), kind: 'info' })
  }

  function enter(who: User): void {
    problem.value = null
    user.value = who
    phase.value = 'authenticated'
  }

  function leave(): void {
    problem.value = null
    user.value = null
    phase.value = 'anonymous'
  }

  return {
    user,
    phase,
    problem,
    restore,
    register,
    login,
    logout,
    update,
    deleteAccount,
    settled,
    beforeLeaving,
    lost,
  }
})
