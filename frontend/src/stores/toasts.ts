import { defineStore } from 'pinia'
import { ref } from 'vue'

export interface Toast {
  id: number
  text: string
  kind: 'info' | 'error' | 'ok'
  action?: { label: string; run: () => void }
}

const SHOWN_MS = 6_000
/** More at once would cover the page; the oldest go. */
const MOST = 4

/** Short notes at the edge of the page. The same text is not shown twice at once. */
export const useToastsStore = defineStore('toasts', () => {
  const items = ref<Toast[]>([])
  const timers = new Map<number, ReturnType<typeof setTimeout>>()
  let lastId = 0

  function show(toast: Omit<Toast, 'id'>): number {
    const same = items.value.find((each) => each.text === toast.text && each.kind === toast.kind)
    if (same) dismiss(same.id)
    lastId += 1
    const id = lastId
    items.value.push({ ...toast, id })
    while (items.value.length > MOST) dismiss(items.value[0]?.id ?? 0)
    // What can be acted on stays longer: reaching for it takes time.
    const shown = toast.action ? 2 * SHOWN_MS : SHOWN_MS
    timers.set(
      id,
      setTimeout(() => dismiss(id), shown),
    )
    return id
  }

  function dismiss(id: number): void {
    clearTimeout(timers.get(id))
    timers.delete(id)
    items.value = items.value.filter((each) => each.id !== id)
  }

  return { items, show, dismiss }
})
