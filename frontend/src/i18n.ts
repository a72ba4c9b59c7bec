import { createI18n } from 'vue-i18n'

import type { Texts } from './locales/gather'

export const LOCALES = ['en', 'fr'] as const
export type Locale = (typeof LOCALES)[number]

// One chunk for each language; only the one in use is fetched.
const loaders: Record<Locale, () => Promise<{ default: Record<string, Texts> }>> = {
  en: () => import('./locales/en'),
  fr: () => import('./locales/fr'),
}

const noTexts: Record<string, Texts> = {}

export const i18n = createI18n({
  legacy: false,
  locale: 'en',
  fallbackLocale: 'en',
  // Counts in French take the singular up to, and without, 2: « 0 message », « 1,5 message ».
  pluralRules: { fr: (count, choices) => french(count, choices) },
  messages: noTexts,
})

function french(count: number, choices: number): number {
  const many = Math.abs(count) >= 2
  if (choices === 2) return many ? 1 : 0
  return count === 0 ? 0 : many ? choices - 1 : 1
}

/** The language that the browser asks for, among ours. */
export function browserLocale(languages: readonly string[] = navigator.languages): Locale {
  for (const language of languages) {
    const locale = LOCALES.find((each) => language.toLowerCase().split('-')[0] === each)
    if (locale) return locale
  }
  return 'en'
}

/** As people write times and numbers where the browser says that it is: 14:05 in London. */
export function regionOf(
  locale: string,
  languages: readonly string[] = navigator.languages,
): string {
  return languages.find((each) => each.toLowerCase().split('-')[0] === locale) ?? locale
}

const loaded = new Set<Locale>()

/** Loads a language and shows it; screen readers are told by <html lang>. */
export async function setLocale(locale: Locale): Promise<void> {
  if (!loaded.has(locale)) {
    const { default: texts } = await loaders[locale]()
    i18n.global.setLocaleMessage(locale, texts)
    loaded.add(locale)
  }
  i18n.global.locale.value = locale
  document.documentElement.lang = locale
}
