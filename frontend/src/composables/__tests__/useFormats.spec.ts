import { describe, expect, it } from 'vitest'

import { formatsOf } from '../useFormats'

const plain = (text: string): string => text.replace(/[\u00a0\u202f]/g, ' ')
const english = formatsOf('en')
const french = formatsOf('fr')

describe('numbers with units', () => {
  it('say small rates with a tenth, great ones without', () => {
    expect([0, 0.44, 9.96, 1_234.5].map(english.rate)).toEqual(['0', '0.4', '10', '1,235'])
  })

  it('say sizes in the unit that makes them short', () => {
    expect([512, 145 * 1024 ** 2, 1.94 * 1024 ** 3].map((n) => plain(english.bytes(n)))).toEqual([
      '512 byte',
      '145 MB',
      '1.9 GB',
    ])
    expect(plain(french.bytes(145 * 1024 ** 2))).toBe('145 Mo')
  })

  it('say a span by its two greatest parts', () => {
    expect(
      [0, 59, 3_600, 3_661, 86_400 * 3 + 3_600 * 4 + 5].map((n) => plain(english.span(n))),
    ).toEqual(['0 sec', '59 sec', '1 hr', '1 hr 1 min', '3 days 4 hr'])
    expect(plain(french.span(90_000))).toBe('1 j 1 h')
  })

  it('take a clock that is behind for now', () => {
    expect(plain(english.span(-5))).toBe('0 sec')
  })

  it('say a lag in milliseconds, or in seconds when it is long', () => {
    expect([0.0184, 1.46].map((n) => plain(english.lag(n)))).toEqual(['18 ms', '1.5 sec'])
  })
})
