import { computed } from 'vue'
import { useI18n } from 'vue-i18n'

import { regionOf } from '@/i18n'

const DAY = 86_400_000

const midnight = (time: Date): number =>
  new Date(time.getFullYear(), time.getMonth(), time.getDate()).getTime()

/** The ways in which a locale writes times; one set each, for they are slow to make. */
function makeFormats(locale: string) {
  const time = new Intl.DateTimeFormat(locale, { hour: 'numeric', minute: '2-digit' })
  const full = new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeStyle: 'short' })
  const day = new Intl.DateTimeFormat(locale, { weekday: 'long', day: 'numeric', month: 'long' })
  const dayOfYear = new Intl.DateTimeFormat(locale, {
    weekday: 'long',
    day: 'numeric',
    month: 'long',
    year: 'numeric',
  })
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' })
  const capital = (text: string): string => text.charAt(0).toLocaleUpperCase(locale) + text.slice(1)

  return {
    /** 14:05 */
    time: (iso: string): string => time.format(new Date(iso)),
    /** Monday, 2 March 2026 at 14:05 */
    full: (iso: string): string => full.format(new Date(iso)),
    /** Today, Yesterday, Monday, 2 March, with the year when it is another one */
    day(iso: string, now = new Date()): string {
      const then = new Date(iso)
      const days = Math.round((midnight(then) - midnight(now)) / DAY)
      if (days === 0 || days === -1) return capital(relative.format(days, 'day'))
      return capital((then.getFullYear() === now.getFullYear() ? day : dayOfYear).format(then))
    },
  }
}

export type Dates = ReturnType<typeof makeFormats>

const formats = new Map<string, Dates>()

export function datesOf(locale: string): Dates {
  let made = formats.get(locale)
  if (made === undefined) formats.set(locale, (made = makeFormats(locale)))
  return made
}

/** Times and days in the language of the page, as they are written where one is. */
export function useDates() {
  const { locale } = useI18n()
  return computed(() => datesOf(regionOf(locale.value)))
}
