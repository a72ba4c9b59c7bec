import { useEventListener } from './useEventListener'
import { onScopeDispose, ref, watch, type Ref } from 'vue'

import { useChannelsStore } from '@/stores/channels'

/** A read cursor that follows a stream of messages would be a stream of its own. */
const PAUSE_MS = 1_000

/** Marks a channel read while its newest message is in sight of somebody who looks. */
export function useMarkRead(options: {
  channelId: Ref<number>
  newestSeq: Ref<number>
  inSight: Ref<boolean>
}): void {
  const channels = useChannelsStore()
  const looking = ref(isLooking())
  let marked = 0
  let timer: ReturnType<typeof setTimeout> | undefined

  function isLooking(): boolean {
    return document.visibilityState === 'visible' && document.hasFocus()
  }
  const look = (): void => {
    looking.value = isLooking()
  }
  useEventListener(window, 'focus', look)
  useEventListener(window, 'blur', look)
  useEventListener(document, 'visibilitychange', look)

  function mark(): void {
    const seq = options.newestSeq.value
    if (timer !== undefined || !options.inSight.value || !looking.value || seq <= marked) return
    marked = seq
    channels.markRead(options.channelId.value, seq)
    timer = setTimeout(() => {
      timer = undefined
      mark()
    }, PAUSE_MS)
  }

  watch([options.newestSeq, options.inSight, looking], mark, { immediate: true })
  watch(options.channelId, () => {
    marked = 0
    clearTimeout(timer)
    timer = undefined
    mark()
  })
  onScopeDispose(() => clearTimeout(timer))
}
