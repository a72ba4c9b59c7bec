import { defineStore } from 'pinia'
import { ref, watch } from 'vue'

import { forget, load, save } from './saved'
import { useSessionStore } from './session'

/** What is written and not sent, for each channel; kept in the browser for each user. */
export const useDraftsStore = defineStore('drafts', () => {
  const session = useSessionStore()
  const texts = ref<Record<string, string>>({})
  let owner: string | null = null
  let saving: ReturnType<typeof setTimeout> | null = null

  const key = (userId: string): string => `storm.drafts.${userId}`

  watch(
    () => session.user?.id ?? null,
    (userId) => {
      write()
      owner = userId
      texts.value = userId === null ? {} : load<Record<string, string>>(key(userId), {})
    },
    { immediate: true, flush: 'sync' },
  )

  function get(channelId: number): string {
    return texts.value[channelId] ?? ''
  }

  function set(channelId: number, text: string): void {
    if (text === '') Reflect.deleteProperty(texts.value, channelId)
    else texts.value[channelId] = text
    // Not at each keystroke.
    saving ??= setTimeout(write, 300)
  }

  function write(): void {
    if (saving === null) return
    clearTimeout(saving)
    saving = null
    if (owner === null) return
    if (Object.keys(texts.value).length === 0) forget(key(owner))
    else save(key(owner), texts.value)
  }

  /** At a logout: nothing of the user stays in the browser. */
  function clear(): void {
    for (const channelId of Object.keys(texts.value)) set(Number(channelId), '')
    write()
  }

  window.addEventListener('pagehide', write)

  return { get, set, clear }
})
