import { computed, nextTick, onMounted, watch, type Ref } from 'vue'

import { useConnectionStore } from '@/stores/connection'

/** What a server allows that has not said hello yet. */
const USUAL_LIMIT = 4_000
/** From this share of the limit on, people are told how much is left. */
const NEAR = 0.9

/** As the server counts: a character outside of the BMP is one, not two. */
export function charactersOf(text: string): number {
  return text.length - (text.match(/[\uD800-\uDBFF][\uDC00-\uDFFF]/g)?.length ?? 0)
}

/** How much of the limit of a message a text takes. */
export function useCharacterLimit(text: Ref<string>) {
  const connection = useConnectionStore()
  const limit = computed(() => connection.limits?.payload_characters ?? USUAL_LIMIT)
  const left = computed(() => limit.value - charactersOf(text.value))
  return {
    limit,
    left,
    over: computed(() => left.value < 0),
    near: computed(() => left.value < limit.value * (1 - NEAR)),
  }
}

/** A key that belongs to an input method, as when Enter chooses a Japanese word. */
export const isComposing = (event: KeyboardEvent): boolean =>
  // Safari ends the composition before the key that ended it; 229 is what it sends then.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  event.isComposing || event.keyCode === 229

/** A text field as high as its text, up to a bound that CSS gives. */
export function useGrowing(field: Ref<HTMLTextAreaElement | null>, text: Ref<string>): void {
  async function grow(): Promise<void> {
    await nextTick()
    const element = field.value
    if (!element) return
    element.style.height = 'auto'
    element.style.height = `${element.scrollHeight}px`
  }
  onMounted(grow)
  watch(text, grow)
}

/** Puts something where the caret is, and the caret behind it. */
export async function insertAtCaret(
  field: HTMLTextAreaElement | null,
  text: Ref<string>,
  inserted: string,
): Promise<void> {
  const start = field?.selectionStart ?? text.value.length
  const end = field?.selectionEnd ?? start
  text.value = text.value.slice(0, start) + inserted + text.value.slice(end)
  await nextTick()
  field?.focus()
  field?.setSelectionRange(start + inserted.length, start + inserted.length)
}
