import { defineStore } from 'pinia'
import { ref } from 'vue'

export type Theme = 'light' | 'dark' | 'system'
export type Locale = 'en' | 'fr'

export const usePreferencesStore = defineStore('preferences', () => {
  const theme = ref<Theme>('system')
  const locale = ref<Locale>('en')
  const notifications = ref(false)

  function setTheme(value: Theme): void {
    theme.value = value
  }
  function setLocale(value: Locale): Promise<void> {
    locale.value = value
    return Promise.resolve()
  }
  async function setNotifications(_wanted: boolean): Promise<boolean> {
    return Promise.resolve(false)
  }

  return { theme, locale, notifications, setTheme, setLocale, setNotifications }
})
