import type { VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Router } from 'vue-router'

import { useShortcuts } from '@/composables/useShortcuts'
import { useChannelsStore } from '@/stores/channels'
import { useUsersStore } from '@/stores/users'

import { addChannel, makeTestRouter, within } from './within'

let wrapper: VueWrapper
let router: Router
const onSwitcher = vi.fn()
const onHelp = vi.fn()

function start(agent = 'Linux'): void {
  vi.spyOn(navigator, 'userAgent', 'get').mockReturnValue(agent)
  router = makeTestRouter()
  wrapper = within(() => useShortcuts({ onSwitcher, onHelp }), router)
}

/** @returns whether the page took the key for itself. */
function press(key: string, some: KeyboardEventInit = {}, target: EventTarget = document.body) {
  const event = new KeyboardEvent('keydown', {
    key,
    bubbles: true,
    cancelable: true,
    ...some,
  })
  target.dispatchEvent(event)
  return event.defaultPrevented
}

function field(value = ''): HTMLTextAreaElement {
  const element = document.createElement('textarea')
  element.value = value
  document.body.append(element)
  return element
}

async function goes(key: string, some: KeyboardEventInit = {}): Promise<string> {
  press(key, { altKey: true, ...some })
  await vi.waitFor(() => expect(router.currentRoute.value.path).not.toBe('/'))
  return router.currentRoute.value.path
}

beforeEach(() => {
  setActivePinia(createPinia())
  onSwitcher.mockReset()
  onHelp.mockReset()
})
afterEach(() => {
  wrapper.unmount()
  document.body.innerHTML = ''
})

describe('the keys of the page', () => {
  it('open the quick switcher by Ctrl+K, while one writes too', () => {
    start()
    expect(press('k', { ctrlKey: true })).toBe(true)
    expect(press('k', { ctrlKey: true }, field('hello'))).toBe(true)
    expect(onSwitcher).toHaveBeenCalledTimes(2)
    expect(press('k')).toBe(false)
    expect(press('k', { ctrlKey: true, shiftKey: true })).toBe(false)
    expect(onSwitcher).toHaveBeenCalledTimes(2)
  })

  it('leave Ctrl+K on a Mac to the text field, where it deletes to the end of the line', () => {
    start('Macintosh')
    expect(press('k', { ctrlKey: true }, field('hello'))).toBe(false)
    expect(press('k', { metaKey: true }, field('hello'))).toBe(true)
    expect(onSwitcher).toHaveBeenCalledOnce()
  })

  it('help by Ctrl+/, on keyboards where / needs Shift too', () => {
    start()
    press('/', { ctrlKey: true })
    press('/', { ctrlKey: true, shiftKey: true })
    expect(onHelp).toHaveBeenCalledTimes(2)
  })

  it('help by ?, but never while one writes', () => {
    start()
    expect(press('?', { shiftKey: true }, field())).toBe(false)
    expect(onHelp).not.toHaveBeenCalled()
    press('?', { shiftKey: true })
    expect(onHelp).toHaveBeenCalledOnce()
  })

  it('come before those of the field that has the focus', () => {
    start()
    const own = vi.fn()
    const taker = field()
    taker.addEventListener('keydown', own)
    press('ArrowUp', { altKey: true }, taker)
    expect(own).not.toHaveBeenCalled()
    press('ArrowUp', {}, taker)
    expect(own).toHaveBeenCalledOnce()
  })

  it('do nothing any more when the page is left', () => {
    start()
    wrapper.unmount()
    press('k', { ctrlKey: true })
    expect(onSwitcher).not.toHaveBeenCalled()
  })
})

describe('Alt and the arrows', () => {
  beforeEach(() => {
    start()
    useUsersStore().learn([{ id: 'zoe', display_name: 'Zoe' }])
    addChannel(1, { name: 'alpha' })
    addChannel(2, { name: 'beta' })
    addChannel(3, { name: 'gamma', muted: true, unread: 4 })
    addChannel(4, { name: '', visibility: 'direct', peer: 'zoe' })
    useChannelsStore().activeId = 1
  })

  it('go to the next channel, in the order of the list', async () => {
    expect(await goes('ArrowDown')).toBe('/c/2')
  })

  it('go to the previous one: conversations stand above the channels', async () => {
    expect(await goes('ArrowUp')).toBe('/c/4')
  })

  it('go round at the end', async () => {
    useChannelsStore().activeId = 4
    expect(await goes('ArrowUp')).toBe('/c/3')
  })

  it('go to the first or last from a page that is no channel', async () => {
    useChannelsStore().activeId = null
    expect(await goes('ArrowDown')).toBe('/c/4')
  })

  it('with Shift go to what is unread only, never to what is muted', async () => {
    useChannelsStore().activeId = 2
    addChannel(1, { name: 'alpha', unread: 2 })
    // alpha moves up, as the list shows it.
    expect(await goes('ArrowDown', { shiftKey: true })).toBe('/c/1')
  })

  it('with Shift stay when nothing is unread', () => {
    press('ArrowDown', { altKey: true, shiftKey: true })
    expect(router.currentRoute.value.path).toBe('/')
  })

  it('stay while a dialog is open', () => {
    const dialog = document.createElement('div')
    dialog.setAttribute('role', 'dialog')
    document.body.append(dialog)
    expect(press('ArrowDown', { altKey: true })).toBe(false)
  })

  it('on a Mac move the caret of somebody who has written something', () => {
    wrapper.unmount()
    start('Macintosh')
    expect(press('ArrowDown', { altKey: true }, field('two\nlines'))).toBe(false)
    expect(press('ArrowDown', { altKey: true }, field())).toBe(true)
  })
})
