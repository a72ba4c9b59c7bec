import { onScopeDispose } from 'vue'

const PRESS_MS = 450
/** A finger that moves farther than this scrolls. */
const SLACK_PX = 10

/** Listeners for a finger that stays where it is: what hovering is to a mouse. */
export function useLongPress(pressed: () => void) {
  let timer: ReturnType<typeof setTimeout> | undefined
  let from = { x: 0, y: 0 }
  const cancel = (): void => clearTimeout(timer)
  onScopeDispose(cancel)

  return {
    pointerdown(event: PointerEvent): void {
      if (event.pointerType === 'mouse') return
      from = { x: event.clientX, y: event.clientY }
      cancel()
      timer = setTimeout(pressed, PRESS_MS)
    },
    pointermove(event: PointerEvent): void {
      if (Math.hypot(event.clientX - from.x, event.clientY - from.y) > SLACK_PX) cancel()
    },
    pointerup: cancel,
    pointercancel: cancel,
  }
}
