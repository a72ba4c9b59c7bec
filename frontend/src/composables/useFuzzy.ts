/** How well a text answers a query. */
export interface Match {
  /** More is better. */
  score: number
  /** Which characters of the text were meant, ascending. */
  at: number[]
}

// A query of one letter finds what begins with it; each of these outweighs a few skipped letters.
const START = 12
const WORD_START = 8
const NEXT = 12
const WHOLE = 10
/** A text twice as long is a little less likely meant. */
const LENGTH = 0.05

/** Lower case, without accents, one for each character of the text: places stay what they were. */
function plain(text: string): string[] {
  return Array.from(text, (character) => {
    const bare = character.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase()
    return Array.from(bare)[0] ?? character
  })
}

const isWord = (character: string | undefined): boolean =>
  character !== undefined && /[\p{L}\p{N}]/u.test(character)

/**
 * Finds the letters of `query` in `text`, in their order, whatever stands between them: "gdn" finds
 * "gardening". Beginnings of words and letters in a row count more. Spaces of the query part words
 * only. @returns null when a letter is missing.
 */
export function fuzzy(query: string, text: string): Match | null {
  const letters = plain(query).filter((letter) => !/\s/.test(letter))
  const within = plain(text)
  if (letters.length === 0) return { score: 0, at: [] }
  if (letters.length > within.length) return null

  // best[i][j]: the best score with letter i at place j; from[i][j]: where letter i - 1 is then.
  let best: number[] = []
  const from: number[][] = []
  letters.forEach((letter, i) => {
    const row = new Array<number>(within.length).fill(-Infinity)
    const trace = new Array<number>(within.length).fill(-1)
    let before = -Infinity
    let beforeAt = -1
    within.forEach((character, j) => {
      if (i > 0 && j > 0) {
        // A gap costs one however long it is: names are short.
        const skipped = (best[j - 2] ?? -Infinity) - 1
        if (j >= 2 && skipped > before) {
          before = skipped
          beforeAt = j - 2
        }
      }
      if (character !== letter) return
      const bonus = j === 0 ? START : isWord(within[j - 1]) ? 0 : WORD_START
      if (i === 0) {
        row[j] = 1 + bonus
        return
      }
      const next = (best[j - 1] ?? -Infinity) + NEXT
      const previous = Math.max(next, before)
      if (previous === -Infinity) return
      row[j] = previous + 1 + bonus
      trace[j] = next >= before ? j - 1 : beforeAt
    })
    best = row
    from.push(trace)
  })

  const score = Math.max(...best)
  if (score === -Infinity) return null
  const at: number[] = []
  let place = best.indexOf(score)
  for (let i = letters.length - 1; i >= 0; i--) {
    at.unshift(place)
    place = from[i]?.[place] ?? -1
  }
  const whole = letters.length === within.length ? WHOLE : 0
  return { score: score + whole - within.length * LENGTH, at }
}

/** A text in pieces, those that were meant apart: for showing them. */
export function pieces(text: string, at: number[]): { text: string; meant: boolean }[] {
  const meant = new Set(at)
  const parts: { text: string; meant: boolean }[] = []
  Array.from(text).forEach((character, place) => {
    const last = parts.at(-1)
    const is = meant.has(place)
    if (last?.meant === is) last.text += character
    else parts.push({ text: character, meant: is })
  })
  return parts
}
