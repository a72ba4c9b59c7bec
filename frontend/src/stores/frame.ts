/** Hidden pages get no frames; what they show (the title's count) may wait this long. */
const HIDDEN_MS = 200

/**
 * Gathers changes: `work` runs once in the next frame, however often it was asked for. At 200
 * events a second the page is drawn 60 times, not 200 times.
 */
export function gathered(work: () => void): { soon: () => void; now: () => void } {
  let frame: number | null = null
  let timer: ReturnType<typeof setTimeout> | undefined

  function now(): void {
    if (frame === null) return
    cancelAnimationFrame(frame)
    clearTimeout(timer)
    frame = null
    work()
  }

  function soon(): void {
    if (frame !== null) return
    frame = requestAnimationFrame(now)
    timer = setTimeout(now, HIDDEN_MS)
  }

  return { soon, now }
}
