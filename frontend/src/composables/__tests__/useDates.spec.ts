import { describe, expect, it } from 'vitest'

import { datesOf } from '@/composables/useDates'
import { regionOf } from '@/i18n'

const now = new Date(2026, 2, 2, 9)
const daysAgo = (days: number): string => new Date(2026, 2, 2 - days, 23).toISOString()

describe('days', () => {
  it('says today and yesterday in both languages', () => {
    expect(datesOf('en').day(daysAgo(0), now)).toBe('Today')
    expect(datesOf('en').day(daysAgo(1), now)).toBe('Yesterday')
    expect(datesOf('fr').day(daysAgo(0), now)).toBe('Aujourd’hui')
    expect(datesOf('fr').day(daysAgo(1), now)).toBe('Hier')
  })

  it('names other days, and the year only when it is another one', () => {
    expect(datesOf('en').day(daysAgo(2), now)).toBe('Saturday, February 28')
    expect(datesOf('fr').day(daysAgo(2), now)).toBe('Samedi 28 février')
    expect(datesOf('en').day(new Date(2025, 11, 31).toISOString(), now)).toContain('2025')
  })
})

describe('where one is', () => {
  it('decides how times are written, within the language of the page', () => {
    expect(regionOf('en', ['fr-CA', 'en-GB', 'en-US'])).toBe('en-GB')
    expect(regionOf('fr', ['en-GB', 'fr-CA'])).toBe('fr-CA')
    expect(datesOf('en-GB').time(new Date(2026, 2, 2, 14, 5).toISOString())).toBe('14:05')
  })

  it('is anybody’s guess when the browser does not ask for the language', () => {
    expect(regionOf('fr', ['en-GB'])).toBe('fr')
    expect(regionOf('en', [])).toBe('en')
  })
})
