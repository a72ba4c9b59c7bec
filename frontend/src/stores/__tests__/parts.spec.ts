import { describe, expect, it, vi } from 'vitest'

import { ApiError } from '@/api'
import { browserLocale, i18n, setLocale } from '@/i18n'
import { gather } from '@/locales/gather'
import en from '@/locales/en/errors.json'
import fr from '@/locales/fr/errors.json'
import { ERROR_CODES } from '@/protocol'

import { sentenceOf } from '../errors'
import { gathered } from '../frame'
import { mentions } from '../mentions'
import { Subscriptions } from '../subscriptions'
import { Unread } from '../unread'

describe('a mention', () => {
  it.each([
    ['@bob', true],
    ['hello @bob!', true],
    ['(@bob)', true],
    ['ask @bob.', true],
    ['@bob, @ann', true],
    ['@bobby', false],
    ['@bob.smith', false],
    ['@bob-2', false],
    ['mail@bob', false],
    ['é@bob', false],
    ['@@bob', false],
    ['@Bob', false],
    ['bob', false],
    ['@bobby and @bob', true],
  ])('%s', (payload, expected) => {
    expect(mentions(payload, 'bob')).toBe(expected)
  })

  it('takes an id for what it is, not for a pattern', () => {
    expect(mentions('@a.b', 'a.b')).toBe(true)
    expect(mentions('@axb @a.bc', 'a.b')).toBe(false)
    expect(mentions('@c++ is here', 'c++')).toBe(true)
  })
})

describe('a count of what is unread', () => {
  it('takes no older answer than it knows', () => {
    const unread = new Unread({ head: 10, read_seq: 5, unread: 3 })
    unread.message(11, true)
    unread.read(11)
    unread.counted({ head: 11, read_seq: 5, unread: 4 })
    expect([unread.count, unread.mentions]).toEqual([0, 0])
    unread.counted({ head: 12, read_seq: 11, unread: 1 })
    expect(unread.count).toBe(1)
    unread.counted({ head: 11, read_seq: 11, unread: 0 })
    expect(unread.count).toBe(1)
  })

  it('counts a message once', () => {
    const unread = new Unread({ head: 10, read_seq: 10, unread: 0 })
    for (const seq of [9, 11, 11, 12]) unread.message(seq, true)
    expect([unread.count, unread.mentions]).toEqual([2, 2])
  })

  it('knows when only the server can count', () => {
    const unread = new Unread({ head: 10, read_seq: 0, unread: 5 })
    unread.message(11, false)
    expect(unread.deleted(11)).toBe(true)
    expect(unread.deleted(7)).toBe(false)
    expect(unread.read(7)).toBe(false)
    expect(unread.deleted(6)).toBe(true)
    expect(unread.read(10)).toBe(true)
    expect(unread.count).toBe(0)
  })
})

describe('the subscriptions of a page', () => {
  it('give up the one that was used least for one that is needed', () => {
    const client = { subscribe: vi.fn(), unsubscribe: vi.fn() }
    const dropped: number[] = []
    const subscriptions = new Subscriptions(
      () => client,
      (id) => dropped.push(id),
    )
    subscriptions.setLimit(2)
    subscriptions.add(1, 10, false)
    subscriptions.add(2, 20, false)
    expect(subscriptions.add(3, 30, false)).toBe(false)
    subscriptions.add(1, 0, true)
    expect(subscriptions.add(3, 30, true)).toBe(true)
    expect(dropped).toEqual([2])
    expect(client.subscribe.mock.calls).toEqual([
      [1, 10],
      [2, 20],
      [3, 30],
    ])
    subscriptions.remove(9)
    expect(client.unsubscribe.mock.calls).toEqual([[2]])
  })
})

describe('gathered work', () => {
  it('is done once a frame, and in a hidden page by the clock', () => {
    vi.useFakeTimers()
    const work = vi.fn()
    const { soon, now } = gathered(work)
    soon()
    soon()
    vi.advanceTimersByTime(20)
    expect(work).toHaveBeenCalledTimes(1)
    now()
    expect(work).toHaveBeenCalledTimes(1)
    vi.spyOn(globalThis, 'requestAnimationFrame').mockReturnValue(1)
    soon()
    vi.advanceTimersByTime(200)
    expect(work).toHaveBeenCalledTimes(2)
  })
})

describe('the texts of errors', () => {
  it('are there for every code of the reference, in both languages', () => {
    for (const code of [...Object.keys(ERROR_CODES), 'network', 'timeout', 'unknown']) {
      expect(en).toHaveProperty(code)
      expect(fr).toHaveProperty(code)
    }
    expect(Object.keys(fr).sort()).toEqual(Object.keys(en).sort())
  })

  it('are sentences, in the language of the user', async () => {
    for (const text of [...Object.values(en), ...Object.values(fr)]) expect(text).toMatch(/\.$/)
    await setLocale('fr')
    expect(sentenceOf(new ApiError(403, 'banned', ''))).toBe('Vous êtes banni de ce canal.')
    await setLocale('en')
    expect(sentenceOf(new ApiError(418, 'teapot', ''))).toBe('That did not work. Try again.')
    expect(sentenceOf('what')).toBe('That did not work. Try again.')
  })
})

describe('languages', () => {
  it('are chosen from those that the browser asks for', () => {
    expect(browserLocale(['de', 'FR-ca'])).toBe('fr')
    expect(browserLocale(['de'])).toBe('en')
    expect(browserLocale([])).toBe('en')
  })

  it('find a file by its area, whether it names it once more or not', () => {
    const files = {
      './auth.json': { default: { login: 'Log in' } },
      './common.json': { default: { common: { ok: 'OK' } } },
    }
    expect(gather(files)).toEqual({ auth: { login: 'Log in' }, common: { ok: 'OK' } })
  })

  it('have plurals of their own', async () => {
    await setLocale('fr')
    i18n.global.mergeLocaleMessage('fr', { test: { two: '{n} ami | {n} amis' } })
    i18n.global.mergeLocaleMessage('fr', { test: { three: 'rien | {n} ami | {n} amis' } })
    const texts = [0, 1, 2].map((n) => i18n.global.t('test.two', n))
    expect(texts).toEqual(['0 ami', '1 ami', '2 amis'])
    expect([0, 1, 5].map((n) => i18n.global.t('test.three', n))).toEqual([
      'rien',
      '1 ami',
      '5 amis',
    ])
  })
})
