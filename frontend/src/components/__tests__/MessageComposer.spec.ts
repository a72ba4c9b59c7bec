import { mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { beforeEach, describe, expect, it, vi } from 'vitest'

import MessageComposer from '@/components/MessageComposer.vue'
import { i18n, setLocale } from '@/i18n'
import { useConnectionStore } from '@/stores/connection'
import { useDraftsStore } from '@/stores/drafts'
import { useMessagesStore } from '@/stores/messages'
import { useTypingStore } from '@/stores/typing'

let wrapper: VueWrapper
let send: ReturnType<typeof vi.fn>
let notify: ReturnType<typeof vi.fn>
const drafts = new Map<number, string>()

function open(some: object = {}): void {
  const pinia = createPinia()
  setActivePinia(pinia)
  send = vi.spyOn(useMessagesStore(), 'send').mockResolvedValue() as never
  notify = vi.spyOn(useTypingStore(), 'notify').mockReturnValue(undefined) as never
  vi.spyOn(useDraftsStore(), 'get').mockImplementation((id) => drafts.get(id) ?? '')
  vi.spyOn(useDraftsStore(), 'set').mockImplementation((id, text) => void drafts.set(id, text))
  wrapper = mount(MessageComposer, {
    props: { channelId: 1, name: '#general', ...some },
    global: { plugins: [pinia, i18n] },
    attachTo: document.body,
  })
}
const field = () => wrapper.get<HTMLTextAreaElement>('textarea')
const press = (key: string, some: object = {}) => field().trigger('keydown', { key, ...some })

beforeEach(async () => {
  await setLocale('en')
  drafts.clear()
  document.body.innerHTML = ''
  open()
})

describe('the composer', () => {
  it('sends by Enter, without the spaces around, and is empty again', async () => {
    await field().setValue('  hello \n')
    await press('Enter')
    expect(send.mock.calls).toEqual([[1, 'hello']])
    expect(field().element.value).toBe('')
  })

  it('breaks the line by Shift+Enter', async () => {
    await field().setValue('hello')
    await press('Enter', { shiftKey: true })
    expect(send).not.toHaveBeenCalled()
  })

  it('leaves Enter to an input method that is choosing a word', async () => {
    await field().setValue('こんに')
    await press('Enter', { isComposing: true })
    await press('Enter', { keyCode: 229 })
    expect(send).not.toHaveBeenCalled()
    await press('Enter')
    expect(send).toHaveBeenCalledOnce()
  })

  it('sends nothing blank', async () => {
    await field().setValue(' \n ')
    await press('Enter')
    expect(send).not.toHaveBeenCalled()
  })

  it('asks for one’s last message by the arrow up, only while it is empty', async () => {
    await field().setValue('x')
    await press('ArrowUp')
    expect(wrapper.emitted('editLast')).toBeUndefined()
    await field().setValue('')
    await press('ArrowUp')
    expect(wrapper.emitted('editLast')).toHaveLength(1)
  })

  it('keeps a draft for each channel', async () => {
    await field().setValue('for one')
    await wrapper.setProps({ channelId: 2 })
    expect(field().element.value).toBe('')
    await field().setValue('for two')
    await wrapper.setProps({ channelId: 1 })
    expect(field().element.value).toBe('for one')
    expect(drafts.get(2)).toBe('for two')
  })

  it('counts characters as the server does, and sends none too many', async () => {
    await field().setValue('👍'.repeat(4_000))
    expect(wrapper.get('[data-testid="limit"]').text()).toBe('0 characters left')
    await press('Enter')
    expect(send).toHaveBeenCalledOnce()
    await field().setValue('👍'.repeat(4_001))
    expect(wrapper.get('[data-testid="limit"]').text()).toBe('1 character too many')
    await press('Enter')
    expect(send).toHaveBeenCalledOnce()
  })

  it('says nothing of the limit while it is far, and takes the server’s', async () => {
    await field().setValue('x'.repeat(91))
    expect(wrapper.find('[data-testid="limit"]').exists()).toBe(false)
    useConnectionStore().limits = { payload_characters: 100 } as never
    await wrapper.vm.$nextTick()
    expect(wrapper.get('[data-testid="limit"]').text()).toBe('9 characters left')
  })

  it('tells others that one writes, not that one deletes', async () => {
    await field().setValue('h')
    await field().setValue('')
    expect(notify.mock.calls).toEqual([[1]])
  })

  it('says why one may not write', () => {
    open({ refusal: 'You are banned.' })
    expect(wrapper.find('textarea').exists()).toBe(false)
    expect(wrapper.get('[role="status"]').text()).toBe('You are banned.')
  })

  it('goes on while offline, and says that messages wait', async () => {
    useConnectionStore().status = { kind: 'offline' }
    await field().setValue('later')
    expect(wrapper.text()).toContain('You are offline')
    await press('Enter')
    expect(send).toHaveBeenCalledWith(1, 'later')
  })
})
