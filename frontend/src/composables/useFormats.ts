import { computed } from 'vue'
import { useI18n } from 'vue-i18n'

import { regionOf } from '@/i18n'

const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte']
const SPANS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const

/** Numbers with their units, as a language writes them. */
export function formatsOf(locale: string) {
  const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 })
  const small = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 })
  const date = new Intl.DateTimeFormat(locale, { dateStyle: 'medium' })
  const unit = (name: string, digits: number) =>
    new Intl.NumberFormat(locale, {
      style: 'unit',
      unit: name,
      unitDisplay: 'short',
      maximumFractionDigits: digits,
    })

  return {
    /** 12,345 */
    count: (value: number): string => whole.format(value),
    /** 0.4 or 1,250: nobody needs a tenth of a thousand. */
    rate: (value: number): string => (value < 10 ? small : whole).format(value),
    /** 12 ms, or 1.5 sec */
    lag: (seconds: number): string =>
      seconds < 1
        ? unit('millisecond', 0).format(seconds * 1000)
        : unit('second', 1).format(seconds),
    /** 145 MB */
    bytes(value: number): string {
      let size = value
      let at = 0
      while (size >= 1000 && at < UNITS.length - 1) {
        size /= 1024
        at += 1
      }
      return unit(UNITS[at] ?? 'byte', size < 10 && at > 0 ? 1 : 0).format(size)
    },
    /** 3 days, 4 hr: the two greatest parts. */
    span(seconds: number): string {
      let left = Math.max(0, Math.floor(seconds))
      const parts: string[] = []
      for (const [name, length] of SPANS) {
        const count = Math.floor(left / length)
        left -= count * length
        if (count > 0 || (name === 'second' && parts.length === 0))
          parts.push(unit(name, 0).format(count))
        else if (parts.length > 0) break
        if (parts.length === 2) break
      }
      return parts.join(' ')
    },
    /** 2 Mar 2026 */
    date: (iso: string): string => date.format(new Date(iso)),
  }
}

export type Formats = ReturnType<typeof formatsOf>

export function useFormats() {
  const { locale } = useI18n()
  return computed(() => formatsOf(regionOf(locale.value)))
}
