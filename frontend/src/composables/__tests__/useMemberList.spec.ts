import { describe, expect, it } from 'vitest'
import { ref } from 'vue'

import type { Member } from '@/protocol'

import { sectionsOf, useMemberList } from '@/composables/useMemberList'

const member = (
  user_id: string,
  role: Member['role'] = 'member',
  display_name = user_id,
): Member => ({
  user_id,
  display_name,
  role,
  joined_at: '2026-03-02T12:00:00Z',
})
const members = [
  member('anna'),
  member('ben', 'owner'),
  member('cleo', 'moderator'),
  member('dora', 'member', 'Zoé'),
]
const ids = (sections: ReturnType<typeof sectionsOf>): Record<string, string[]> =>
  Object.fromEntries(sections.map((one) => [one.kind, one.members.map(({ user_id }) => user_id)]))

describe('members of a channel', () => {
  it('shows who is online first, and those with more to say before the others', () => {
    expect(ids(sectionsOf(members, new Set(['anna', 'cleo']), ''))).toEqual({
      online: ['cleo', 'anna'],
      offline: ['ben', 'dora'],
    })
  })

  it('shows all together where nobody is told who is online', () => {
    expect(ids(sectionsOf(members, null, ''))).toEqual({
      everybody: ['ben', 'cleo', 'anna', 'dora'],
    })
  })

  it('finds by name and by id, without accents, and leaves empty sections out', () => {
    expect(ids(sectionsOf(members, new Set(['dora']), 'zoe'))).toEqual({ online: ['dora'] })
    expect(ids(sectionsOf(members, new Set(), ' DOR'))).toEqual({ offline: ['dora'] })
    expect(sectionsOf(members, new Set(), 'nobody')).toEqual([])
  })
  it('stays as it was while a menu is open, and is up to date afterwards', () => {
    const online = ref<ReadonlySet<string>>(new Set(['anna']))
    const held = ref(false)
    const list = useMemberList({ members: ref(members), online, query: ref('zo'), held })
    expect(ids(list.value)).toEqual({ offline: ['dora'] })
    held.value = true
    online.value = new Set(['anna', 'dora'])
    expect(ids(list.value)).toEqual({ offline: ['dora'] })
    held.value = false
    expect(ids(list.value)).toEqual({ online: ['dora'] })
  })

  it('is made even if it is held before it was ever shown', () => {
    const list = useMemberList({
      members: ref(members),
      online: ref(null),
      query: ref('zo'),
      held: ref(true),
    })
    expect(ids(list.value)).toEqual({ everybody: ['dora'] })
  })
})
