import { beforeEach, describe, expect, it, vi } from 'vitest'

import { useDraftsStore } from '../drafts'
import { usePreferencesStore } from '../preferences'
import { useSessionStore } from '../session'
import { useToastsStore } from '../toasts'
import { newBrowser, newPage } from './fakes'

vi.mock('@/realtime', async () => (await import('./fakes')).fakeRealtime)

beforeEach(newBrowser)

describe('preferences', () => {
  let systemDark: boolean
  let systemChanged: () => void

  function asked(answer: NotificationPermission, before: NotificationPermission = 'default') {
    const permission = { permission: before, requestPermission: vi.fn() }
    permission.requestPermission.mockImplementation(() => {
      permission.permission = answer
      return Promise.resolve(answer)
    })
    vi.stubGlobal('Notification', permission)
    return permission
  }

  beforeEach(() => {
    systemDark = false
    vi.stubGlobal('matchMedia', () => ({
      get matches() {
        return systemDark
      },
      addEventListener: (_: string, listener: () => void) => (systemChanged = listener),
    }))
    asked('granted')
  })

  const dark = () => document.documentElement.classList.contains('dark')

  it('follow the system until a theme is chosen, and keep the choice', () => {
    const preferences = usePreferencesStore()
    expect([preferences.theme, dark()]).toEqual(['system', false])
    systemDark = true
    systemChanged()
    expect(dark()).toBe(true)
    preferences.setTheme('light')
    expect(dark()).toBe(false)
    newPage()
    expect([usePreferencesStore().theme, dark()]).toEqual(['light', false])
    expect(document.documentElement.style.colorScheme).toBe('light')
  })

  it('begin in the language of the browser and keep the one that is chosen', async () => {
    vi.spyOn(navigator, 'languages', 'get').mockReturnValue(['de-AT', 'fr-CA', 'en'])
    const preferences = usePreferencesStore()
    await preferences.start()
    expect([preferences.locale, document.documentElement.lang]).toEqual(['fr', 'fr'])
    await preferences.setLocale('en')
    newPage()
    await usePreferencesStore().start()
    expect([usePreferencesStore().locale, document.documentElement.lang]).toEqual(['en', 'en'])
  })

  it('ask the browser before notifications are shown', async () => {
    const browser = asked('granted')
    expect(await usePreferencesStore().setNotifications(true)).toBe(true)
    expect(browser.requestPermission).toHaveBeenCalledOnce()
    newPage()
    expect(usePreferencesStore().notifications).toBe(true)
    expect(await usePreferencesStore().setNotifications(false)).toBe(false)
  })

  it('stay without notifications when the browser refuses or took them back', async () => {
    asked('denied')
    expect(await usePreferencesStore().setNotifications(true)).toBe(false)
    asked('granted')
    await usePreferencesStore().setNotifications(true)
    asked('denied', 'denied')
    newPage()
    expect(usePreferencesStore().notifications).toBe(false)
  })

  it('survive a damaged and a refused storage', () => {
    localStorage.setItem('storm.preferences', '{"theme": "pink", "locale": "xx"}')
    expect(usePreferencesStore()).toMatchObject({ theme: 'system' })
    localStorage.setItem('storm.preferences', '{')
    newPage()
    vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
      throw new DOMException('', 'QuotaExceededError')
    })
    usePreferencesStore().setTheme('dark')
    expect(dark()).toBe(true)
  })
})

describe('drafts', () => {
  const logIn = (id: string) => {
    useSessionStore().user = { id, display_name: id, created_at: '', admin: false }
  }

  it('are kept for each channel and user', () => {
    logIn('ann')
    const drafts = useDraftsStore()
    drafts.set(1, 'half a sen')
    drafts.set(2, 'x')
    drafts.set(2, '')
    vi.advanceTimersByTime(300)
    newPage()
    logIn('ann')
    expect([useDraftsStore().get(1), useDraftsStore().get(2)]).toEqual(['half a sen', ''])
    logIn('bob')
    expect(useDraftsStore().get(1)).toBe('')
    useDraftsStore().set(1, 'of bob')
    // Written when the user changes, without waiting.
    logIn('ann')
    expect(useDraftsStore().get(1)).toBe('half a sen')
    logIn('bob')
    expect(useDraftsStore().get(1)).toBe('of bob')
  })

  it('are kept when the page is left at once', () => {
    logIn('ann')
    useDraftsStore().set(1, 'quick')
    window.dispatchEvent(new Event('pagehide'))
    newPage()
    logIn('ann')
    expect(useDraftsStore().get(1)).toBe('quick')
  })

  it('are gone after a logout', () => {
    logIn('ann')
    useDraftsStore().set(1, 'secret')
    vi.advanceTimersByTime(300)
    useDraftsStore().clear()
    expect(localStorage.length).toBe(0)
  })
})

describe('toasts', () => {
  it('go by themselves, later if something can be done', () => {
    const toasts = useToastsStore()
    toasts.show({ text: 'a', kind: 'info' })
    toasts.show({ text: 'b', kind: 'error', action: { label: 'Retry', run: () => undefined } })
    vi.advanceTimersByTime(6000)
    expect(toasts.items.map(({ text }) => text)).toEqual(['b'])
    vi.advanceTimersByTime(6000)
    expect(toasts.items).toEqual([])
  })

  it('can be dismissed, and are not shown twice at once', () => {
    const toasts = useToastsStore()
    toasts.show({ text: 'a', kind: 'info' })
    const id = toasts.show({ text: 'a', kind: 'info' })
    expect(toasts.items).toHaveLength(1)
    toasts.dismiss(id)
    expect(toasts.items).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('are four at most', () => {
    const toasts = useToastsStore()
    for (let n = 0; n < 9; n++) toasts.show({ text: `${n}`, kind: 'info' })
    expect(toasts.items.map(({ text }) => text)).toEqual(['5', '6', '7', '8'])
  })
})
