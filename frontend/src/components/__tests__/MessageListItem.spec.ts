import { mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { defineComponent, h, ref } from 'vue'

import '@/composables/__tests__/faithfulDom'
import { rowOf } from '@/composables/__tests__/rows'
import MessageListItem from '@/components/MessageListItem.vue'
import { providePane } from '@/composables/usePane'
import { useRights } from '@/composables/useRights'
import { i18n, setLocale } from '@/i18n'
import { useChannelsStore } from '@/stores/channels'
import { useMessagesStore, type TimelineRow } from '@/stores/messages'
import { useSessionStore } from '@/stores/session'
import { useUsersStore } from '@/stores/users'

const asked = vi.fn()
const edited = vi.fn()

interface Situation {
  role?: string | null
  admin?: boolean
  visibility?: string
  editing?: number
}

/** Alice looks at a row, in a channel where she has this role. */
function show(row: TimelineRow, situation: Situation = {}): VueWrapper {
  const { role = 'member', admin = false, visibility = 'public', editing = null } = situation
  const pinia = createPinia()
  setActivePinia(pinia)
  useSessionStore().user = { id: 'alice', display_name: 'Alice', created_at: '', admin }
  vi.spyOn(useUsersStore(), 'displayName').mockImplementation((id) => id)
  useChannelsStore().byId.set(1, { id: 1, name: 'general', role, visibility } as never)
  const Pane = defineComponent({
    setup() {
      const channelId = ref(1)
      providePane({
        channelId,
        rights: useRights(channelId),
        editingId: ref(editing),
        edit: edited,
        askToDelete: asked,
        react: vi.fn(),
        focusComposer: vi.fn(),
      })
      return () => h(MessageListItem, { row, grouped: false, tabbable: true })
    },
  })
  return mount(Pane, { global: { plugins: [pinia, i18n] }, attachTo: document.body })
}

/** What may be done, as the buttons say it. */
async function actionsOf(wrapper: VueWrapper): Promise<string[]> {
  await wrapper.get('[data-message]').trigger('focusin')
  return wrapper
    .findAll('[role="toolbar"] button')
    .map((button) => button.attributes('aria-label') ?? '')
}

beforeEach(async () => {
  await setLocale('en')
  document.body.innerHTML = ''
  asked.mockClear()
  edited.mockClear()
})

const bobs = rowOf(1, { user_id: 'bob' })

describe('what one may do with a message', () => {
  it('everything with one’s own', async () => {
    expect(await actionsOf(show(rowOf(1)))).toEqual([
      'Add a reaction',
      'Edit',
      'Copy the text',
      'Delete',
    ])
  })

  it('react to and copy another’s', async () => {
    const others = ['Add a reaction', 'Copy the text']
    expect(await actionsOf(show(bobs))).toEqual(others)
    expect(await actionsOf(show(bobs, { role: null }))).toEqual(others)
  })

  it.each([{ role: 'moderator' }, { role: 'owner' }, { role: null, admin: true }])(
    'delete another’s, but not edit it, as %j',
    async (situation) => {
      expect(await actionsOf(show(bobs, situation))).toEqual([
        'Add a reaction',
        'Copy the text',
        'Delete',
      ])
    },
  )

  it('no more in a direct channel, administrator or not', async () => {
    const direct = { visibility: 'direct', role: 'owner', admin: true }
    expect(await actionsOf(show(bobs, direct))).not.toContain('Delete')
  })

  it('nothing with what is deleted, waits, or was refused', async () => {
    for (const some of [
      { deleted: true },
      { state: 'pending' as const },
      { state: 'failed' as const },
    ])
      expect(await actionsOf(show(rowOf(1, some)))).toEqual([])
  })

  it('asks before it deletes', async () => {
    const wrapper = show(rowOf(1))
    await actionsOf(wrapper)
    await wrapper.get('[aria-label="Delete"]').trigger('click')
    expect(asked).toHaveBeenCalledOnce()
  })
})

describe('what a message says of itself', () => {
  it('why it was not sent, with a way to send it again or to let it be', async () => {
    const row = rowOf(1, { state: 'failed', ref: 'r-1', error: { code: 'banned', message: 'no' } })
    const wrapper = show(row)
    const retry = vi.spyOn(useMessagesStore(), 'retry').mockResolvedValue()
    const discard = vi.spyOn(useMessagesStore(), 'discard').mockResolvedValue()
    expect(wrapper.get('[role="alert"]').text()).toBe('Not sent. You are banned from this channel.')
    const [again, away] = wrapper.findAll('button')
    await again?.trigger('click')
    await away?.trigger('click')
    expect(retry).toHaveBeenCalledWith('r-1')
    expect(discard).toHaveBeenCalledWith('r-1')
  })

  it('that it waits, that it was edited, that it was deleted, that its author is gone', () => {
    expect(show(rowOf(1, { state: 'pending' })).text()).toContain('Waiting to be sent')
    expect(show(rowOf(1, { edited_at: '2026-03-02T12:01:00Z' })).text()).toContain('(edited)')
    const deleted = show(rowOf(1, { deleted: true, payload: 'secret' })).text()
    expect(deleted).toContain('This message was deleted.')
    expect(deleted).not.toContain('secret')
    expect(show(rowOf(1, { author_deleted: true })).text()).toContain('Deleted user')
  })
})

describe('editing', () => {
  it('saves what has changed, and only that', async () => {
    const wrapper = show(rowOf(7), { editing: 7 })
    const edit = vi.spyOn(useMessagesStore(), 'edit').mockResolvedValue(undefined)
    const field = wrapper.get<HTMLTextAreaElement>('textarea')
    expect(field.element.value).toBe('message 7')
    await field.trigger('keydown', { key: 'Enter' })
    expect(edit).not.toHaveBeenCalled()
    await field.setValue('better')
    await field.trigger('keydown', { key: 'Enter', isComposing: true })
    expect(edit).not.toHaveBeenCalled()
    await field.trigger('keydown', { key: 'Enter' })
    expect(edit.mock.calls).toEqual([[1, 7, 'better']])
  })

  it('ends without a trace by Escape', async () => {
    const wrapper = show(rowOf(7), { editing: 7 })
    await wrapper.get('textarea').setValue('worse')
    await wrapper.get('textarea').trigger('keydown', { key: 'Escape' })
    expect(edited).toHaveBeenCalledWith(null)
  })
})
