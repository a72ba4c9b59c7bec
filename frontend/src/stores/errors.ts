import { asApiError } from '@/api'
import { i18n } from '@/i18n'

/** What went wrong, as a sentence in the user's language. */
export function sentenceOf(error: unknown): string {
  const { code } = asApiError(error)
  const key = `errors.${code}`
  return i18n.global.te(key) ? i18n.global.t(key) : i18n.global.t('errors.unknown')
}
