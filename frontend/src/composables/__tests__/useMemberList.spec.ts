import { describe, expect, it } from 'vitest'

import type { Member } from '@/protocol'

import { sectionsOf } from '@/composables/useMemberList'

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
})
