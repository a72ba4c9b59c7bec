import { mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, getActivePinia, setActivePinia, type Pinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { nextTick } from 'vue'
import type { Router } from 'vue-router'

import { ApiError } from '@/api'
import QuickSwitcher from '@/components/QuickSwitcher.vue'
import { addChannel, makeTestRouter } from '@/composables/__tests__/within'
import { i18n, setLocale } from '@/i18n'
import type { Channel, User } from '@/protocol'
import { useChannelsStore } from '@/stores/channels'
import { useToastsStore } from '@/stores/toasts'
import { useUsersStore } from '@/stores/users'

let wrapper: VueWrapper
let router: Router
let people: User[]

const dialog = () => document.querySelector<HTMLElement>('[role="dialog"]')
const field = () => document.querySelector<HTMLInputElement>('[role="combobox"]')
const options = () => [...document.querySelectorAll<HTMLElement>('[role="option"]')]
/** What is read out of them. */
const texts = () =>
  options().map((option) => {
    const copy = option.cloneNode(true) as HTMLElement
    for (const silent of copy.querySelectorAll('[aria-hidden]')) silent.remove()
    return copy.textContent
  })
const chosen = () =>
  texts()[options().findIndex((each) => each.getAttribute('aria-selected') === 'true')]

async function type(text: string): Promise<void> {
  const input = field()
  if (!input) throw new Error('there is no field')
  input.value = text
  input.dispatchEvent(new Event('input'))
  await vi.advanceTimersByTimeAsync(200)
}

async function press(key: string): Promise<void> {
  field()?.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }))
  await vi.advanceTimersByTimeAsync(0)
}

const person = (id: string, display_name: string): User => ({
  id,
  display_name,
  created_at: '',
  admin: false,
})

beforeEach(async () => {
  vi.useFakeTimers()
  await setLocale('en')
  setActivePinia(createPinia())
  const users = useUsersStore()
  const channels = useChannelsStore()
  people = []
  users.learn([
    { id: 'bob', display_name: 'Bob' },
    { id: 'gina', display_name: 'Regina' },
  ])
  vi.spyOn(users, 'search').mockImplementation(() => Promise.resolve(people))
  vi.spyOn(channels, 'browse').mockImplementation(() =>
    Promise.resolve([
      { ...addChannel(50, { name: 'gadgets', role: null }), topic: 'Toys' } satisfies Channel,
    ]),
  )
  addChannel(1, { name: 'general' })
  addChannel(2, { name: 'gardening', topic: 'What grows' })
  addChannel(3, { name: 'great plans', unread: 2 })
  addChannel(4, { name: '', visibility: 'direct', peer: 'bob', unread: 1, mentions: 1 })
  channels.activeId = 1
  router = makeTestRouter()
  wrapper = mount(QuickSwitcher, {
    props: { open: false, 'onUpdate:open': (open: boolean) => void wrapper.setProps({ open }) },
    global: { plugins: [getActivePinia() as Pinia, i18n, router] },
    attachTo: document.body,
  })
  await wrapper.setProps({ open: true })
  await vi.advanceTimersByTimeAsync(0)
})
afterEach(() => {
  wrapper.unmount()
  document.body.innerHTML = ''
  vi.useRealTimers()
})

describe('the quick switcher', () => {
  it('offers one’s own places before anything is typed: what calls first, not where one is', () => {
    expect(texts()).toEqual([
      'Bobbob1 message for you',
      'great plans2 unread messages',
      'gardeningWhat grows',
    ])
  })

  it('finds by a few letters, and offers the other public channels too', async () => {
    await type('gd')
    expect(texts()).toEqual(['gardeningWhat grows', 'gadgetsToysNot joined'])
  })

  it('puts what is unread before what fits as well', async () => {
    await type('g')
    expect(texts()[0]).toMatch(/^great plans/)
  })

  it('finds a conversation by the other one’s user name', async () => {
    await type('bob')
    expect(texts()).toHaveLength(1)
    people = [person('bob', 'Bob')]
    await type('bo')
    expect(texts(), 'not twice, as a person too').toHaveLength(1)
  })

  it('shows which letters of the name were meant, though the user name fits better', async () => {
    people = [person('gina', 'Regina')]
    await type('gin')
    const meant = options()[0]?.querySelectorAll('.text-accent') ?? []
    expect([...meant].map(({ textContent }) => textContent)).toEqual(['gin'])
  })

  it('takes the # and @ that people are used to', async () => {
    await type('#gard')
    expect(texts()).toEqual(['gardeningWhat grows'])
  })

  it('moves by the arrows, round at both ends', async () => {
    expect(chosen()).toMatch(/^Bob/)
    await press('ArrowDown')
    expect(chosen()).toMatch(/^great/)
    await press('ArrowUp')
    await press('ArrowUp')
    expect(chosen()).toMatch(/^gardening/)
    const active = field()?.getAttribute('aria-activedescendant')
    expect(document.getElementById(active ?? '')?.textContent).toContain('gardening')
  })

  it('opens a channel by Enter and closes', async () => {
    await type('gard')
    await press('Enter')
    await vi.waitFor(() => expect(router.currentRoute.value.path).toBe('/c/2'))
    expect(dialog()).toBeNull()
  })

  it('opens a conversation with a person', async () => {
    const open = vi.spyOn(useChannelsStore(), 'openDirect').mockResolvedValue(addChannel(9))
    people = [person('gina', 'Regina')]
    await type('regi')
    expect(texts()).toEqual(['ReginaginaNew conversation'])
    await press('Enter')
    await vi.waitFor(() => expect(router.currentRoute.value.path).toBe('/c/9'))
    expect(open).toHaveBeenCalledExactlyOnceWith('gina')
  })

  it('stays and says why when that is refused', async () => {
    vi.spyOn(useChannelsStore(), 'openDirect').mockRejectedValue(new ApiError(404, 'not_found', ''))
    people = [person('gina', 'Regina')]
    await type('regi')
    await press('Enter')
    expect(dialog()).not.toBeNull()
    expect(useToastsStore().items.map(({ text }) => text)).toEqual([
      'This does not exist, or you are not allowed to see it.',
    ])
  })

  it('says that nothing was found, also to those who cannot see it', async () => {
    await type('zzz')
    expect(texts()).toEqual([])
    expect(dialog()?.textContent).toContain('No channel and nobody has a name like this.')
    expect(dialog()?.querySelector('[role="status"]')?.textContent).toBe('Nothing found')
  })

  it('drops the answer to what is not asked any more', async () => {
    let answer: (found: User[]) => void = () => undefined
    vi.spyOn(useUsersStore(), 'search').mockImplementationOnce(
      () => new Promise((done) => (answer = done)),
    )
    await type('re')
    await type('gard')
    answer([person('gina', 'Regard')])
    await nextTick()
    expect(texts()).toEqual(['gardeningWhat grows'])
  })

  it('leaves Enter to an input method', async () => {
    field()?.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true }))
    await nextTick()
    expect(dialog()).not.toBeNull()
  })
})
