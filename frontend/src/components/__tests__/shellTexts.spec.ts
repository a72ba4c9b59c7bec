import { expect, it } from 'vitest'

import en from '@/locales/en'
import fr from '@/locales/fr'

/** Each text by its path, with its placeholders and the number of its plural forms. */
function shape(texts: object, path = ''): string[] {
  return Object.entries(texts).flatMap(([key, text]: [string, unknown]) =>
    typeof text === 'string'
      ? [
          `${path}${key} ${(text.match(/\{\w+\}/g) ?? []).sort().join()} ${text.split(' | ').length}`,
        ]
      : shape(text as object, `${path}${key}.`),
  )
}

it('has the same areas in both languages', () => {
  expect(Object.keys(fr)).toEqual(Object.keys(en))
})

it.each(Object.keys(en))('%s says in French what it says in English', (area) => {
  expect(shape(fr[area] ?? {}).sort()).toEqual(shape(en[area] ?? {}).sort())
})
