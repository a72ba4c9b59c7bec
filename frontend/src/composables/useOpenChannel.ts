import { nextTick } from 'vue'
import { useRouter } from 'vue-router'

/** On a touch screen the keyboard would cover what one came to read. */
const usesKeys = (): boolean => window.matchMedia('(pointer: fine)').matches

/** Puts the focus where one writes in the channel that is open. */
export function focusComposer(): void {
  const field = document.querySelector<HTMLElement>('#main [data-testid="composer"]')
  if (field !== null && usesKeys()) field.focus()
}

/** Goes to a channel, ready to write. */
export function useOpenChannel(): (channelId: number) => Promise<void> {
  const router = useRouter()
  return async (channelId) => {
    await router.push(`/c/${channelId}`)
    await nextTick()
    focusComposer()
  }
}
