import { mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Component } from 'vue'

import { ApiError } from '@/api'
import SettingsAccount from '@/components/SettingsAccount.vue'
import SettingsAppearance from '@/components/SettingsAppearance.vue'
import SettingsNotifications from '@/components/SettingsNotifications.vue'
import SettingsPassword from '@/components/SettingsPassword.vue'
import SettingsProfile from '@/components/SettingsProfile.vue'
import { i18n, setLocale } from '@/i18n'
import { usePreferencesStore } from '@/stores/preferences'
import { useSessionStore } from '@/stores/session'
import { useToastsStore } from '@/stores/toasts'

let wrapper: VueWrapper

const show = (component: Component): VueWrapper => {
  wrapper = mount(component, { global: { plugins: [i18n] }, attachTo: document.body }) as VueWrapper
  return wrapper
}
const update = () => vi.spyOn(useSessionStore(), 'update')
const toasts = () => useToastsStore().items.map(({ text }) => text)
const button = (text: string) =>
  [...document.querySelectorAll('button')].find((each) => each.textContent.trim() === text)

beforeEach(async () => {
  localStorage.clear()
  await setLocale('en')
  setActivePinia(createPinia())
  i18n.global.locale.value = 'en'
  useSessionStore().user = { id: 'alice', display_name: 'Alice', created_at: '', admin: false }
})
afterEach(() => {
  wrapper.unmount()
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})

describe('the profile', () => {
  it('keeps the new name, without the spaces around it', async () => {
    const asked = update().mockResolvedValue()
    show(SettingsProfile)
    await wrapper.get('input').setValue('  Alice Martin ')
    await wrapper.get('form').trigger('submit')
    expect(asked.mock.calls).toEqual([[{ display_name: 'Alice Martin' }]])
  })

  it('asks for nothing while the name is the same, and refuses an empty one', async () => {
    const asked = update().mockResolvedValue()
    show(SettingsProfile)
    expect(wrapper.get('button[type="submit"]').attributes('disabled')).toBeDefined()
    await wrapper.get('form').trigger('submit')
    await wrapper.get('input').setValue('   ')
    await wrapper.get('form').trigger('submit')
    expect(asked).not.toHaveBeenCalled()
    expect(wrapper.text()).toContain('A display name has at least one character.')
  })

  it('says in words why the server refused', async () => {
    update().mockRejectedValue(new ApiError(400, 'invalid_request', 'x'))
    show(SettingsProfile)
    await wrapper.get('input').setValue('Al\u0000ice')
    await wrapper.get('form').trigger('submit')
    await vi.waitFor(() => expect(wrapper.text()).toContain('is not allowed'))
  })
})

describe('the password', () => {
  async function enter(first: string, second = first): Promise<void> {
    const [one, two] = wrapper.findAll('input')
    await one?.setValue(first)
    await two?.setValue(second)
    await wrapper.get('form').trigger('submit')
  }

  it('is checked by the rules of the server before it is sent', async () => {
    const asked = update().mockResolvedValue()
    show(SettingsPassword)
    await enter('')
    expect(wrapper.text()).toContain('Say the new password.')
    await enter('1234567')
    expect(wrapper.text()).toContain('at least 8 characters')
    await enter('x'.repeat(129))
    expect(wrapper.text()).toContain('at most 128 characters')
    await enter('correct horse', 'correct house')
    expect(wrapper.text()).toContain('The two passwords differ.')
    expect(asked).not.toHaveBeenCalled()
  })

  it('is changed, and nowhere to be seen afterwards', async () => {
    const asked = update().mockResolvedValue()
    show(SettingsPassword)
    await enter('correct horse')
    await vi.waitFor(() => expect(toasts()).toEqual(['Your password was changed.']))
    expect(asked.mock.calls).toEqual([[{ password: 'correct horse' }]])
    expect(wrapper.findAll('input').map(({ element }) => element.value)).toEqual(['', ''])
  })

  it('counts an emoji as one character, as the server does', async () => {
    const asked = update().mockResolvedValue()
    show(SettingsPassword)
    await enter('🐴'.repeat(7))
    expect(asked).not.toHaveBeenCalled()
    await enter('🐴'.repeat(8))
    expect(asked).toHaveBeenCalledOnce()
  })
})

describe('the appearance', () => {
  it('changes the theme at once', async () => {
    show(SettingsAppearance)
    await wrapper.get('input[value="dark"]').trigger('change')
    expect(usePreferencesStore().theme).toBe('dark')
    expect(document.documentElement.classList).toContain('dark')
    await wrapper.get('input[value="light"]').trigger('change')
    expect(document.documentElement.classList).not.toContain('dark')
  })

  it('is in the chosen language', async () => {
    show(SettingsAppearance)
    const languages = () => wrapper.get('select')
    const label = () => wrapper.get(`label[for="${languages().attributes('id')}"]`).text()
    expect(label()).toBe('Language')
    await usePreferencesStore().setLocale('fr')
    await vi.waitFor(() => expect(label()).toBe('Langue'))
    expect(languages().element.value).toBe('fr')
    expect(wrapper.text()).toContain('Sombre')
  })
})

describe('the notifications', () => {
  function browser(permission: string, answer = permission): void {
    const Notification = {
      permission,
      requestPermission: () => {
        Notification.permission = answer
        return Promise.resolve(answer)
      },
    }
    vi.stubGlobal('Notification', Notification)
  }
  const control = () => wrapper.get('[role="switch"]')

  it('are on when the browser agrees', async () => {
    browser('default', 'granted')
    show(SettingsNotifications)
    await control().trigger('click')
    await vi.waitFor(() => expect(control().attributes('aria-checked')).toBe('true'))
    expect(wrapper.find('[data-testid="trouble"]').exists()).toBe(false)
  })

  it('stay off and say why when the browser refuses', async () => {
    browser('default', 'denied')
    show(SettingsNotifications)
    await control().trigger('click')
    await vi.waitFor(() => expect(wrapper.text()).toContain('Your browser blocks notifications'))
    expect(control().attributes('aria-checked')).toBe('false')
    expect(control().attributes('disabled')).toBeDefined()
  })

  it('may be asked for again when the question was not answered', async () => {
    browser('default')
    show(SettingsNotifications)
    await control().trigger('click')
    await vi.waitFor(() => expect(wrapper.text()).toContain('was not given permission'))
    expect(control().attributes('disabled')).toBeUndefined()
  })

  it('say so when the browser knows none', () => {
    vi.stubGlobal('Notification', undefined)
    show(SettingsNotifications)
    expect(wrapper.text()).toContain('This browser cannot show notifications.')
  })
})

describe('the account', () => {
  async function ask(typed: string): Promise<void> {
    await wrapper.findAll('button').at(-1)?.trigger('click')
    const input = document.querySelector<HTMLInputElement>('[role="dialog"] input')
    if (!input) throw new Error('nobody asks')
    input.value = typed
    input.dispatchEvent(new Event('input'))
    await wrapper.vm.$nextTick()
  }
  const submit = () =>
    document
      .querySelector('[role="dialog"] form')
      ?.dispatchEvent(new Event('submit', { cancelable: true }))

  it('is deleted only by who types its name', async () => {
    const remove = vi.spyOn(useSessionStore(), 'deleteAccount').mockResolvedValue()
    show(SettingsAccount)
    await ask('alic')
    expect(button('Delete for good')?.disabled).toBe(true)
    submit()
    expect(remove).not.toHaveBeenCalled()
    await ask('alice')
    expect(button('Delete for good')?.disabled).toBe(false)
    submit()
    expect(remove).toHaveBeenCalledOnce()
  })

  it('stays, with the reason, when the server cannot delete it', async () => {
    vi.spyOn(useSessionStore(), 'deleteAccount').mockRejectedValue(new ApiError(0, 'network', ''))
    show(SettingsAccount)
    await ask('alice')
    submit()
    await vi.waitFor(() =>
      expect(document.querySelector('[role="dialog"]')?.textContent).toContain(
        'The server cannot be reached.',
      ),
    )
  })

  it('is left by logging out', async () => {
    const logout = vi.spyOn(useSessionStore(), 'logout').mockResolvedValue()
    show(SettingsAccount)
    button('Log out')?.click()
    await vi.waitFor(() => expect(logout).toHaveBeenCalledOnce())
  })
})
