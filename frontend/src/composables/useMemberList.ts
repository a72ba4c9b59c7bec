import { computed, type Ref } from 'vue'

import type { Member } from '@/protocol'

import { plain } from './useEmoji'

/** What one may want of a member: to talk, to give a role, to part. */
export type MemberAction = 'direct' | Member['role'] | 'remove' | 'ban'

export interface MemberSection {
  kind: 'online' | 'offline' | 'everybody'
  members: Member[]
}

const RANKS: Record<string, number> = { owner: 0, moderator: 1, member: 2 }

const byRankAndName = (a: Member, b: Member): number =>
  (RANKS[a.role] ?? 3) - (RANKS[b.role] ?? 3) || a.display_name.localeCompare(b.display_name)

/**
 * Members by rank and name, those who are online first. In crowded channels nobody is told who is
 * online: then all stand together.
 */
export function sectionsOf(
  members: readonly Member[],
  online: ReadonlySet<string> | null,
  query: string,
): MemberSection[] {
  const wanted = plain(query.trim())
  const found = members
    .filter(({ user_id, display_name }) => plain(`${display_name} ${user_id}`).includes(wanted))
    .sort(byRankAndName)
  const sections: MemberSection[] =
    online === null
      ? [{ kind: 'everybody', members: found }]
      : [
          { kind: 'online', members: found.filter(({ user_id }) => online.has(user_id)) },
          { kind: 'offline', members: found.filter(({ user_id }) => !online.has(user_id)) },
        ]
  return sections.filter((section) => section.members.length > 0)
}

export function useMemberList(options: {
  members: Ref<readonly Member[]>
  online: Ref<ReadonlySet<string> | null>
  query: Ref<string>
  /** While it is set, the list stays as it was. */
  held: Ref<boolean>
}): Ref<MemberSection[]> {
  return computed((before) =>
    before !== undefined && options.held.value
      ? before
      : sectionsOf(options.members.value, options.online.value, options.query.value),
  )
}
