import { flushPromises, mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { ApiError } from '@/api'
import UserPicker from '@/components/UserPicker.vue'
import { i18n, setLocale } from '@/i18n'
import type { User } from '@/protocol'
import { useSessionStore } from '@/stores/session'
import { useUsersStore } from '@/stores/users'

let wrapper: VueWrapper
let answers: Map<string, (users: User[]) => void>

const user = (id: string): User => ({
  id,
  display_name: id.toUpperCase(),
  created_at: '2026-01-31T12:00:00.000Z',
  admin: false,
})
const shown = () => wrapper.findAll('li').map((each) => each.text())
const search = async (text: string) => {
  await wrapper.get('input').setValue(text)
  await vi.advanceTimersByTimeAsync(250)
}
const reply = async (text: string, ...ids: string[]) => {
  answers.get(text)?.(ids.map(user))
  await flushPromises()
}

beforeEach(async () => {
  await setLocale('en')
  vi.useFakeTimers()
  setActivePinia(createPinia())
  useSessionStore().user = user('me')
  answers = new Map()
  vi.spyOn(useUsersStore(), 'search').mockImplementation(
    (text) => new Promise((resolve) => answers.set(text, resolve)),
  )
  wrapper = mount(UserPicker, {
    props: { label: 'Search people', done: new Set(['cid']), doneLabel: 'Member' },
    global: { plugins: [i18n] },
  })
  await vi.advanceTimersByTimeAsync(0)
})
afterEach(() => {
  wrapper.unmount()
  vi.useRealTimers()
})

describe('the search for people', () => {
  it('begins with some, never with oneself', async () => {
    await reply('', 'ann', 'me', 'bob')
    expect(shown()).toEqual([expect.stringContaining('ANN'), expect.stringContaining('BOB')])
  })

  it('asks once for a word, not for each letter', async () => {
    await wrapper.get('input').setValue('a')
    await vi.advanceTimersByTimeAsync(100)
    await search('an')
    expect(vi.mocked(useUsersStore().search).mock.calls).toEqual([[''], ['an']])
  })

  it('does not show a late answer to a question that was taken back', async () => {
    await search('an')
    await search('bo')
    await reply('bo', 'bob')
    await reply('an', 'ann')
    expect(shown()).toEqual([expect.stringContaining('BOB')])
  })

  it('gives the person who is picked', async () => {
    await reply('', 'ann', 'bob')
    await wrapper.findAll('li button')[1]?.trigger('click')
    expect(wrapper.emitted('pick')).toEqual([[user('bob')]])
  })

  it('does not offer what is done already', async () => {
    await reply('', 'cid')
    expect(shown()).toEqual([expect.stringContaining('Member')])
    expect(wrapper.get('li button').attributes('disabled')).toBeDefined()
  })

  it('says that nobody was found', async () => {
    await search('zzz')
    await reply('zzz')
    expect(wrapper.get('[role="status"]').text()).toBe('Nobody was found.')
  })

  it('says why it could not search', async () => {
    vi.mocked(useUsersStore().search).mockRejectedValue(new ApiError(0, 'network', ''))
    await search('ann')
    expect(wrapper.get('[role="alert"]').text()).toContain('The server cannot be reached.')
  })
})
