import { flushPromises, mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { createMemoryHistory, createRouter, type Router } from 'vue-router'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { ApiError } from '@/api'
import { i18n, setLocale } from '@/i18n'
import { useSessionStore } from '@/stores/session'
import LoginView from '@/views/LoginView.vue'
import RegisterView from '@/views/RegisterView.vue'

const Nothing = { template: '<main />' }

let wrapper: VueWrapper
let router: Router

async function open(view: typeof LoginView, path: string): Promise<void> {
  const pinia = createPinia()
  setActivePinia(pinia)
  router = createRouter({
    history: createMemoryHistory(),
    routes: [
      { path: '/login', name: 'login', component: Nothing },
      { path: '/register', name: 'register', component: Nothing },
      { path: '/:rest(.*)*', component: Nothing },
    ],
  })
  await router.push(path)
  wrapper = mount(view, {
    global: { plugins: [pinia, i18n, router] },
    attachTo: document.body,
  })
}

const field = (label: string) => {
  const found = wrapper.findAll('label').find((each) => each.text() === label)
  return wrapper.get<HTMLInputElement>(`[id="${found?.attributes('for') ?? ''}"]`)
}
const submit = async () => {
  await wrapper.get('form').trigger('submit')
  await flushPromises()
}
const button = () => wrapper.get<HTMLButtonElement>('button[type="submit"]')

beforeEach(() => setLocale('en'))
afterEach(() => {
  wrapper.unmount()
  vi.useRealTimers()
})

describe('logging in', () => {
  beforeEach(() => open(LoginView, '/login?next=/c/7'))

  it('leads back to where one wanted to go', async () => {
    const login = vi.spyOn(useSessionStore(), 'login').mockResolvedValue()
    await field('User name').setValue(' ann ')
    await field('Password').setValue(' secret with spaces ')
    await submit()
    expect(login.mock.calls).toEqual([['ann', ' secret with spaces ']])
    expect(router.currentRoute.value.fullPath).toBe('/c/7')
  })

  it('asks for what is missing, without asking the server', async () => {
    const login = vi.spyOn(useSessionStore(), 'login').mockResolvedValue()
    await submit()
    expect(wrapper.text()).toContain('Enter your user name.')
    expect(wrapper.text()).toContain('Enter your password.')
    expect(document.activeElement).toBe(field('User name').element)
    expect(login).not.toHaveBeenCalled()
  })

  it('leaves it to the server what a good password is: rules may have changed', async () => {
    const login = vi.spyOn(useSessionStore(), 'login').mockResolvedValue()
    await field('User name').setValue('ann')
    await field('Password').setValue('short')
    await submit()
    expect(login).toHaveBeenCalledOnce()
  })

  it('says in a sentence why the server refused', async () => {
    vi.spyOn(useSessionStore(), 'login').mockRejectedValue(new ApiError(401, 'wrongLogin', 'no'))
    await field('User name').setValue('ann')
    await field('Password').setValue('a wrong one')
    await submit()
    expect(wrapper.get('[role="alert"]').text()).toBe('The name or the password is wrong.')
    expect(button().element.disabled).toBe(false)
  })

  it('waits as long as the server says', async () => {
    vi.useFakeTimers()
    const login = vi
      .spyOn(useSessionStore(), 'login')
      .mockRejectedValue(new ApiError(429, 'rate_limited', 'slow', 2_400))
    await field('User name').setValue('ann')
    await field('Password').setValue('some password')
    await submit()
    expect(button().text()).toContain('Wait 3 seconds')
    expect(button().element.disabled).toBe(true)
    await submit()
    expect(login).toHaveBeenCalledOnce()
    await vi.advanceTimersByTimeAsync(3_000)
    expect(button().text()).toContain('Log in')
    expect(wrapper.find('[role="alert"]').exists()).toBe(false)
  })

  it('is not sent twice while the first answer is on its way', async () => {
    const login = vi.spyOn(useSessionStore(), 'login').mockReturnValue(new Promise(() => {}))
    await field('User name').setValue('ann')
    await field('Password').setValue('some password')
    await submit()
    await submit()
    expect(login).toHaveBeenCalledOnce()
  })

  it('shows the password when asked to, and hides it again', async () => {
    await field('Password').setValue('visible?')
    await wrapper.get('[aria-label="Show the password"]').trigger('click')
    expect(field('Password').attributes('type')).toBe('text')
    await wrapper.get('[aria-label="Hide the password"]').trigger('click')
    expect(field('Password').attributes('type')).toBe('password')
  })

  it('takes the way back along to the sign-up', () => {
    expect(wrapper.get('a').attributes('href')).toBe('/register?next=/c/7')
  })
})

describe('signing up', () => {
  beforeEach(() => open(RegisterView, '/register'))

  const fill = async (userId: string, password: string) => {
    await field('User name').setValue(userId)
    await field('Password').setValue(password)
  }

  it('is one step: the new user is logged in and inside', async () => {
    const register = vi.spyOn(useSessionStore(), 'register').mockResolvedValue()
    await fill('ann', 'long enough')
    await field('Display name (optional)').setValue('  Ann B. ')
    await submit()
    expect(register.mock.calls).toEqual([
      [{ user_id: 'ann', password: 'long enough', display_name: 'Ann B.' }],
    ])
    expect(router.currentRoute.value.fullPath).toBe('/')
  })

  it('leaves out a display name of spaces', async () => {
    const register = vi.spyOn(useSessionStore(), 'register').mockResolvedValue()
    await fill('ann', 'long enough')
    await field('Display name (optional)').setValue('   ')
    await submit()
    expect(register.mock.calls).toEqual([[{ user_id: 'ann', password: 'long enough' }]])
  })

  it.each(['ann bee', 'änn', '..', 'a/b'])(
    'knows that %s is no user name, before the server says so',
    async (name) => {
      const register = vi.spyOn(useSessionStore(), 'register').mockResolvedValue()
      await fill(name, 'long enough')
      await submit()
      expect(field('User name').attributes('aria-invalid')).toBe('true')
      expect(register).not.toHaveBeenCalled()
    },
  )

  it.each(['ann@example.org', 'a.b_c-d+e', 'x'.repeat(64)])('lets %s be one', async (name) => {
    const register = vi.spyOn(useSessionStore(), 'register').mockResolvedValue()
    await fill(name, 'long enough')
    await submit()
    expect(register).toHaveBeenCalledOnce()
  })

  it('counts the characters of a password as the server does', async () => {
    const register = vi.spyOn(useSessionStore(), 'register').mockResolvedValue()
    // Seven characters, fourteen code units.
    await fill('ann', '🔑'.repeat(7))
    await submit()
    expect(wrapper.text()).toContain('A password has at least 8 characters.')
    expect(register).not.toHaveBeenCalled()
    await fill('ann', '🔑'.repeat(8))
    await submit()
    expect(register).toHaveBeenCalledOnce()
  })

  it('tells at the field that a name is taken', async () => {
    vi.spyOn(useSessionStore(), 'register').mockRejectedValue(new ApiError(409, 'name_taken', ''))
    await fill('ann', 'long enough')
    await submit()
    expect(wrapper.text()).toContain('This name is taken.')
    expect(document.activeElement).toBe(field('User name').element)
    expect(wrapper.find('[role="alert"]').exists()).toBe(false)
  })
})
