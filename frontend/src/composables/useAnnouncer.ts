import { onScopeDispose, ref, watch, type Ref } from 'vue'
import { useI18n } from 'vue-i18n'

import type { TimelineRow } from '@/stores/messages'

/** A screen reader says one sentence in this time, however fast messages come. */
const PAUSE_MS = 3_000
const CHARACTERS = 200

/**
 * What a screen reader says of new messages: a single one is read, of several only their number.
 */
export function useAnnouncer(options: {
  view: Ref<{ rows: readonly TimelineRow[] }>
  ready: () => boolean
  self: () => string | null
  nameOf: (userId: string) => string
}): Ref<string> {
  const { t } = useI18n()
  const said = ref('')
  let heard: number | null = null
  let waiting: TimelineRow[] = []
  let missed = 0
  let timer: ReturnType<typeof setTimeout> | undefined

  function speak(): void {
    timer = undefined
    const [row] = waiting
    if (row === undefined) return
    const count = waiting.length + missed
    said.value =
      count === 1
        ? t('messages.said', {
            name: options.nameOf(row.user_id),
            text: row.payload.slice(0, CHARACTERS),
          })
        : t('messages.saidSeveral', { count }, count)
    waiting = []
    missed = 0
    timer = setTimeout(speak, PAUSE_MS)
  }

  function hear(row: TimelineRow): void {
    if (waiting.length === 0) waiting.push(row)
    else missed += 1
  }

  watch(
    options.view,
    ({ rows }) => {
      const newest = rows.findLast(({ seq }) => seq !== null)?.seq ?? null
      if (!options.ready() || newest === null) return
      if (heard !== null) {
        for (let index = rows.length - 1; index >= 0; index -= 1) {
          const row = rows[index]
          if (row === undefined || (row.seq !== null && row.seq <= heard)) break
          if (row.seq !== null && row.kind === 'message' && row.user_id !== options.self())
            hear(row)
        }
        if (waiting.length > 0 && timer === undefined) speak()
      }
      heard = Math.max(heard ?? 0, newest)
    },
    { immediate: true },
  )
  onScopeDispose(() => clearTimeout(timer))
  return said
}
