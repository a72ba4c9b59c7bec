import { computed, type Ref } from 'vue'

import { useChannelsStore } from '@/stores/channels'
import { useSessionStore } from '@/stores/session'
import type { TimelineRow } from '@/stores/messages'

/** What one may do in a channel. The server decides; this only spares people the refusals. */
export function useRights(channelId: Ref<number>) {
  const channels = useChannelsStore()
  const session = useSessionStore()

  const channel = computed(() => channels.byId.get(channelId.value) ?? null)
  const self = computed(() => session.user?.id ?? null)
  const isDirect = computed(() => channel.value?.visibility === 'direct')
  const role = computed(() => channel.value?.role ?? null)
  // Administrators of the server are as owners, but not where two people talk.
  const isAdmin = computed(() => session.user?.admin === true && !isDirect.value)
  const mayManage = computed(() => !isDirect.value && (isAdmin.value || role.value === 'owner'))
  const mayModerate = computed(
    () => mayManage.value || (!isDirect.value && role.value === 'moderator'),
  )

  return {
    channel,
    self,
    isDirect,
    role,
    mayManage,
    mayModerate,
    mayEdit: (row: TimelineRow): boolean =>
      row.kind === 'message' && row.state === 'sent' && !row.deleted && row.user_id === self.value,
    mayDelete: (row: TimelineRow): boolean =>
      row.kind === 'message' &&
      row.state === 'sent' &&
      !row.deleted &&
      (row.user_id === self.value || mayModerate.value),
    /** Remove or ban: never an owner, a moderator only by an owner, never oneself. */
    mayExpel: (member: { user_id: string; role: string }): boolean =>
      member.user_id !== self.value &&
      member.role !== 'owner' &&
      (mayManage.value || (mayModerate.value && member.role === 'member')),
  }
}
