import { computed } from 'vue'

import { useChannelsStore } from '@/stores/channels'

import { useEventListener } from './useEventListener'
import { useOpenChannel } from './useOpenChannel'

/** Where ⌘ stands for Ctrl. */
export const isMac = (): boolean => /mac|iphone|ipad/i.test(navigator.userAgent)

export interface Shortcuts {
  /** Ctrl+K or ⌘K, with or without a dialog. */
  onSwitcher: () => void
  /** Ctrl+/ or ?. */
  onHelp: () => void
}

/** The keys that work wherever one is. Those of the composer and of the list are with them. */
export function useShortcuts({ onSwitcher, onHelp }: Shortcuts): void {
  const channels = useChannelsStore()
  const open = useOpenChannel()
  const mac = isMac()

  // As the list of channels shows them.
  const inOrder = computed(() => [
    ...channels.mine.filter(({ visibility }) => visibility === 'direct'),
    ...channels.mine.filter(({ visibility }) => visibility !== 'direct'),
  ])

  function go(step: 1 | -1, unreadOnly: boolean): void {
    const list = inOrder.value
    const here = list.findIndex(({ id }) => id === channels.activeId)
    // From nowhere: down to the first, up to the last.
    const start = here < 0 && step < 0 ? list.length : here
    for (let n = 1; n <= list.length; n++) {
      const there = list[(start + n * step + 2 * list.length) % list.length]
      if (!there || there.id === channels.activeId) continue
      if (unreadOnly && (there.unread === 0 || (there.muted && there.mentions === 0))) continue
      void open(there.id)
      return
    }
  }

  function take(key: KeyboardEvent): boolean {
    const command = mac ? key.metaKey && !key.ctrlKey : key.ctrlKey && !key.metaKey
    if (command && !key.altKey && !key.shiftKey && key.key.toLowerCase() === 'k') {
      onSwitcher()
      return true
    }
    // On many keyboards / is typed with Shift.
    if ((key.ctrlKey || key.metaKey) && !key.altKey && key.key === '/') {
      onHelp()
      return true
    }
    if (inDialog() || key.ctrlKey || key.metaKey) return false
    if (key.key === '?' && !isWriting(key.target)) {
      onHelp()
      return true
    }
    if (!key.altKey || (key.key !== 'ArrowUp' && key.key !== 'ArrowDown')) return false
    // On a Mac these keys move through the paragraphs of what one writes.
    if (mac && holdsText(key.target)) return false
    go(key.key === 'ArrowUp' ? -1 : 1, key.shiftKey)
    return true
  }

  useEventListener(
    window,
    'keydown',
    (event) => {
      const key = event as KeyboardEvent
      if (key.isComposing || !take(key)) return
      key.preventDefault()
      key.stopPropagation()
    },
    // Before the field that has the focus: it may know the arrows too, without looking at Alt.
    { capture: true },
  )
}

/** Something is open that has its own keys. */
export const inDialog = (): boolean =>
  document.querySelector('[role="dialog"], [role="alertdialog"], [role="menu"]') !== null

const NOT_TEXT = ['button', 'checkbox', 'radio', 'range', 'submit', 'reset', 'color', 'file']

function isWriting(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target instanceof HTMLInputElement) return !NOT_TEXT.includes(target.type)
  return target instanceof HTMLTextAreaElement || target.isContentEditable
}

const holdsText = (target: EventTarget | null): boolean =>
  isWriting(target) && (target as HTMLTextAreaElement).value !== ''
