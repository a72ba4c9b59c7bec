import { useI18n } from 'vue-i18n'

/** A plain sentence for what went wrong, by its code. */
export function useErrorText(): (error: unknown) => string {
  const i18n = useI18n()
  return (error) => {
    const code =
      typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
    const key = `errors.${code}`
    return code !== '' && i18n.te(key) ? i18n.t(key) : i18n.t('errors.unknown')
  }
}
