import { computed, toValue, type ComputedRef, type MaybeRefOrGetter } from 'vue'

import { useMessagesStore, type Timeline } from '@/stores/messages'

/** The timeline of the channel that is shown now. */
export function useTimeline(channelId: MaybeRefOrGetter<number>): ComputedRef<Timeline> {
  const messages = useMessagesStore()
  return computed(() => messages.timeline(toValue(channelId)))
}
