import { defineStore } from 'pinia'
import { ref } from 'vue'

import { browserLocale, LOCALES, setLocale as showLocale, type Locale } from '@/i18n'

import { load, save } from './saved'

export type { Locale }
export type Theme = 'light' | 'dark' | 'system'

const KEY = 'storm.preferences'

interface Saved {
  theme?: Theme
  locale?: Locale
  notifications?: boolean
}

/** How this browser shows STORM: nobody's login, so it outlives a logout. */
export const usePreferencesStore = defineStore('preferences', () => {
  const saved = load<Saved | null>(KEY, null) ?? {}
  const theme = ref<Theme>(
    saved.theme === 'light' || saved.theme === 'dark' ? saved.theme : 'system',
  )
  // What the browser asks for counts until the user has chosen.
  const chosen = ref<Locale | null>(
    saved.locale && LOCALES.includes(saved.locale) ? saved.locale : null,
  )
  const locale = ref<Locale>(chosen.value ?? browserLocale())
  // The browser may have taken its permission back meanwhile.
  const notifications = ref(saved.notifications === true && permission() === 'granted')

  const darkSystem = window.matchMedia('(prefers-color-scheme: dark)')
  darkSystem.addEventListener('change', applyTheme)
  applyTheme()

  function applyTheme(): void {
    const dark = theme.value === 'dark' || (theme.value === 'system' && darkSystem.matches)
    document.documentElement.classList.toggle('dark', dark)
    // Scroll bars and form fields of the browser itself.
    document.documentElement.style.colorScheme = dark ? 'dark' : 'light'
  }

  /** To be awaited before the page is mounted: the texts of the language are fetched. */
  async function start(): Promise<void> {
    await showLocale(locale.value)
  }

  function setTheme(value: Theme): void {
    theme.value = value
    applyTheme()
    keep()
  }

  async function setLocale(value: Locale): Promise<void> {
    await showLocale(value)
    locale.value = value
    chosen.value = value
    keep()
  }

  /** Asks the browser if need be. @returns whether notifications are on now. */
  async function setNotifications(wanted: boolean): Promise<boolean> {
    if (wanted && permission() === 'default') await Notification.requestPermission()
    notifications.value = wanted && permission() === 'granted'
    keep()
    return notifications.value
  }

  function keep(): void {
    save(KEY, {
      theme: theme.value,
      notifications: notifications.value,
      ...(chosen.value ? { locale: chosen.value } : {}),
    } satisfies Saved)
  }

  return { theme, locale, notifications, start, setTheme, setLocale, setNotifications }
})

function permission(): NotificationPermission {
  return typeof Notification === 'undefined' ? 'denied' : Notification.permission
}
