const FIRST_MS = 500
const LONGEST_MS = 30_000

/**
 * How long to wait before try number `attempt` (from 0): a random time between 0 and a bound that
 * doubles. Without the random part, everybody whom a restart cut off is back in the same second.
 */
export function backoff(attempt: number, random: () => number): number {
  return Math.round(random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 30)))
}
