import { onScopeDispose, ref, watch, type Ref } from 'vue'

const PAUSE_MS = 200

/** A text to search for, told when one pauses in typing; the first time at once. */
export function useSearch(search: (contains: string) => unknown): Ref<string> {
  const query = ref('')
  let timer: ReturnType<typeof setTimeout> | undefined
  search('')
  watch(query, (text) => {
    clearTimeout(timer)
    timer = setTimeout(() => search(text), PAUSE_MS)
  })
  onScopeDispose(() => clearTimeout(timer))
  return query
}
