import { defineStore } from 'pinia'
import { shallowReactive } from 'vue'

import { users as api } from '@/api'
import type { User } from '@/protocol'

const PAGE = 200
/** Names asked for one by one at once, when the list of users does not have them. */
const AT_ONCE = 4
const MOST_ASKED = 40

/** Names of users. Events and messages have ids only. */
export const useUsersStore = defineStore('users', () => {
  const names = shallowReactive(new Map<string, string>())
  const wanted = new Set<string>()
  /** Asked for, so that a user who is gone is not asked for at each drawing. */
  const asked = new Set<string>()
  let scheduled = false
  /** The first page of users answers most questions of a small server in one go. */
  let listed = false
  let generation = 0

  /** The id until the name is known. */
  function displayName(userId: string): string {
    const name = names.get(userId)
    if (name === undefined && !asked.has(userId)) {
      asked.add(userId)
      wanted.add(userId)
      schedule()
    }
    return name ?? userId
  }

  /** What came along with something else. */
  function learn(people: Iterable<{ id: string; display_name: string }>): void {
    for (const { id, display_name } of people) {
      if (names.get(id) !== display_name) names.set(id, display_name)
      wanted.delete(id)
    }
  }

  function schedule(): void {
    if (scheduled) return
    scheduled = true
    // Whatever this drawing of the page asks for is asked of the server together.
    setTimeout(() => void ask(), 0)
  }

  async function ask(): Promise<void> {
    const began = generation
    try {
      if (!listed && wanted.size > 1) {
        const people = await api.list({ limit: PAGE })
        if (began !== generation) return
        listed = true
        learn(people)
      }
      const ids = [...wanted].slice(0, MOST_ASKED)
      for (const id of ids) wanted.delete(id)
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          for (let id = ids.pop(); id !== undefined; id = ids.pop()) await askOne(id, began)
        }),
      )
    } catch {
      // The ids are shown instead. They may be asked for again later.
      for (const id of wanted) asked.delete(id)
      wanted.clear()
    } finally {
      scheduled = false
      if (wanted.size > 0) schedule()
    }
  }

  async function askOne(id: string, began: number): Promise<void> {
    try {
      const user = await api.get(id)
      if (began === generation) learn([user])
    } catch {
      // Deleted, or out of reach: the id stands for the name.
    }
  }

  async function search(contains: string, signal?: AbortSignal): Promise<User[]> {
    const people = await api.list({ contains, limit: 20 }, signal)
    learn(people)
    return people
  }

  function clear(): void {
    generation += 1
    names.clear()
    wanted.clear()
    asked.clear()
    listed = false
  }

  return { displayName, learn, search, clear }
})
