import { expect, it } from 'vitest'

import enAuth from '@/locales/en/auth.json'
import enChannels from '@/locales/en/channels.json'
import enCommon from '@/locales/en/common.json'
import enConnection from '@/locales/en/connection.json'
import frAuth from '@/locales/fr/auth.json'
import frChannels from '@/locales/fr/channels.json'
import frCommon from '@/locales/fr/common.json'
import frConnection from '@/locales/fr/connection.json'

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

it.each([
  ['auth', enAuth, frAuth],
  ['channels', enChannels, frChannels],
  ['common', enCommon, frCommon],
  ['connection', enConnection, frConnection],
])('%s says in French what it says in English', (_area, en: object, fr: object) => {
  expect(shape(fr).sort()).toEqual(shape(en).sort())
})
