import { describe, expect, it } from 'vitest'

import { fuzzy, pieces } from '../useFuzzy'

const best = (query: string, ...texts: string[]): string[] =>
  texts
    .map((text) => ({ text, score: fuzzy(query, text)?.score ?? -Infinity }))
    .filter(({ score }) => score > -Infinity)
    .sort((a, b) => b.score - a.score)
    .map(({ text }) => text)

describe('a fuzzy search', () => {
  it('finds letters in their order, whatever stands between them', () => {
    expect(fuzzy('gdn', 'gardening')).not.toBeNull()
    expect(fuzzy('dng', 'gardening')?.at).toEqual([3, 7, 8])
    expect(fuzzy('gnx', 'gardening')).toBeNull()
    expect(fuzzy('gardenings', 'gardening')).toBeNull()
  })

  it('prefers a whole name to a beginning, a beginning to a word, a word to scattered letters', () => {
    expect(best('dev', 'due events', 'team dev', 'developers', 'dev')).toEqual([
      'dev',
      'developers',
      'team dev',
      'due events',
    ])
  })

  it('takes the initials of words', () => {
    expect(best('fd', 'food', 'front desk')).toEqual(['front desk', 'food'])
  })

  it('finds the better of two places of the same letters', () => {
    expect(fuzzy('op', 'oxp-ops')?.at).toEqual([4, 5])
  })

  it('makes no difference between cases and accents, on either side', () => {
    expect(fuzzy('cafe', 'Café')?.at).toEqual([0, 1, 2, 3])
    expect(fuzzy('ÉCOLE', 'ecole')).not.toBeNull()
  })

  it('takes spaces of the query for nothing', () => {
    expect(fuzzy('front d', 'front-desk')?.at).toEqual([0, 1, 2, 3, 4, 6])
    expect(fuzzy('  ', 'anything')).toEqual({ score: 0, at: [] })
  })

  it('counts an emoji as one character', () => {
    expect(fuzzy('ab', '🎉ab')?.at).toEqual([1, 2])
    expect(pieces('🎉ab', [1, 2])).toEqual([
      { text: '🎉', meant: false },
      { text: 'ab', meant: true },
    ])
  })
})

describe('the pieces of a text', () => {
  it('join what belongs together', () => {
    expect(pieces('gardening', [0, 3, 4])).toEqual([
      { text: 'g', meant: true },
      { text: 'ar', meant: false },
      { text: 'de', meant: true },
      { text: 'ning', meant: false },
    ])
    expect(pieces('as it is', [])).toEqual([{ text: 'as it is', meant: false }])
  })
})
