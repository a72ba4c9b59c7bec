import { inject, provide, type InjectionKey, type Ref } from 'vue'

import type { TimelineRow } from '@/stores/messages'
import type { useRights } from './useRights'

/** What the parts of one message pane share. */
export interface Pane {
  channelId: Readonly<Ref<number>>
  rights: ReturnType<typeof useRights>
  /** The message under edit. */
  editingId: Ref<number | null>
  edit: (id: number | null) => void
  /** Asks before it deletes. */
  askToDelete: (row: TimelineRow) => void
  react: (row: TimelineRow, emoji: string) => void
  focusComposer: () => void
}

const KEY: InjectionKey<Pane> = Symbol('pane')

export const providePane = (pane: Pane): void => provide(KEY, pane)

export function usePane(): Pane {
  const pane = inject(KEY)
  if (pane === undefined) throw new Error('a message outside of a pane')
  return pane
}
