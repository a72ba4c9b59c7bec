import { afterEach, expect, test, vi } from 'vitest'

import { browserEnvironment } from '..'

afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

test('the clock is that of the browser, and a timer can be cancelled', () => {
  vi.useFakeTimers({ now: 5_000 })
  const environment = browserEnvironment()
  expect(environment.now()).toBe(5_000)
  const run = vi.fn()
  environment.after(100, run)
  environment.after(100, run).cancel()
  vi.advanceTimersByTime(100)
  expect(run).toHaveBeenCalledTimes(1)
})

test('the dice are thrown by the browser', () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.25)
  expect(browserEnvironment().random()).toBe(0.25)
})

test('sockets are those of the browser', () => {
  const made: unknown[][] = []
  vi.stubGlobal(
    'WebSocket',
    vi.fn(function (...given: unknown[]) {
      made.push(given)
    }),
  )
  browserEnvironment().connect('ws://storm.test/ws', ['storm.v1'])
  expect(made).toEqual([['ws://storm.test/ws', ['storm.v1']]])
})

test('what the window tells is heard until nobody listens', () => {
  const environment = browserEnvironment()
  const heard: string[] = []
  const ends = [
    environment.listen('online', () => heard.push('online')),
    environment.listen('offline', () => heard.push('offline')),
    environment.listen('visible', () => heard.push('visible')),
  ]
  const state = vi.spyOn(document, 'visibilityState', 'get')
  const change = (now: DocumentVisibilityState): void => {
    state.mockReturnValue(now)
    document.dispatchEvent(new Event('visibilitychange'))
  }
  change('hidden')
  change('visible')
  window.dispatchEvent(new Event('offline'))
  window.dispatchEvent(new Event('online'))
  expect(heard).toEqual(['visible', 'offline', 'online'])
  for (const end of ends) end()
  change('visible')
  window.dispatchEvent(new Event('online'))
  expect(heard).toHaveLength(3)
})

test('only a browser that says so is offline', () => {
  const environment = browserEnvironment()
  for (const [onLine, expected] of [
    [true, true],
    [false, false],
    [undefined, true],
  ] as const) {
    vi.stubGlobal('navigator', { onLine })
    expect(environment.isOnline()).toBe(expected)
  }
  vi.stubGlobal('navigator', undefined)
  expect(environment.isOnline()).toBe(true)
})

test('without a page there is nothing to listen to', () => {
  vi.stubGlobal('document', undefined)
  const end = browserEnvironment().listen('visible', () => undefined)
  expect(end).not.toThrow()
})
