import { onScopeDispose, watchEffect } from 'vue'

/** What the page is called; the notifications put their count before it. */
export const pageTitle = { value: 'STORM' }

const listeners = new Set<() => void>()

export function onPageTitle(listener: () => void): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

/** Names the page as long as the component is there. */
export function usePageTitle(title: () => string): void {
  const name = (text: string): void => {
    pageTitle.value = text === '' ? 'STORM' : `${text} · STORM`
    document.title = pageTitle.value
    for (const listener of listeners) listener()
  }
  watchEffect(() => name(title()))
  onScopeDispose(() => name(''))
}
