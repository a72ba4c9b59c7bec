import { onScopeDispose, ref, type Ref } from 'vue'

/** Whether there is room for one pane only (as Tailwind's `md`). */
export function useNarrow(query = '(max-width: 767px)'): Ref<boolean> {
  const media = window.matchMedia(query)
  const narrow = ref(media.matches)
  const changed = (): void => void (narrow.value = media.matches)
  media.addEventListener('change', changed)
  onScopeDispose(() => media.removeEventListener('change', changed))
  return narrow
}
