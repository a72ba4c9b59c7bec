import { defineStore } from 'pinia'
import { reactive } from 'vue'

import type { Timeline, TimelineRow } from './timeline'

export type { Timeline, TimelineRow }

export const useMessagesStore = defineStore('messages', () => {
  function timeline(_channelId: number): Timeline {
    return reactive<Timeline>({
      rows: [],
      phase: 'idle',
      loadingOlder: false,
      reachedStart: false,
      error: null,
      firstUnreadSeq: null,
      newestSeq: 0,
    })
  }
  async function open(_channelId: number): Promise<void> {}
  async function loadOlder(_channelId: number): Promise<void> {}
  async function send(_channelId: number, _payload: string): Promise<void> {}
  async function edit(_channelId: number, _id: number, _payload: string): Promise<void> {}
  async function remove(_channelId: number, _id: number): Promise<void> {}
  async function react(_channelId: number, _id: number, _emoji: string): Promise<void> {}
  async function unreact(_channelId: number, _id: number, _emoji: string): Promise<void> {}
  async function retry(_ref: string): Promise<void> {}
  async function discard(_ref: string): Promise<void> {}
  function lastOwn(_channelId: number): TimelineRow | null {
    return null
  }

  return { timeline, open, loadOlder, send, edit, remove, react, unreact, retry, discard, lastOwn }
})
