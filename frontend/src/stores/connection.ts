import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'

import type { Hello } from '@/protocol'
import type { ConnectionStatus } from '@/realtime'

export const useConnectionStore = defineStore('connection', () => {
  const status = shallowRef<ConnectionStatus>({ kind: 'idle' })
  const limits = shallowRef<Hello['limits'] | null>(null)
  const lastRestoredAt = ref<number | null>(null)
  const serverSaid = ref<{ reason: string } | null>(null)

  function tryNow(): void {}

  return { status, limits, lastRestoredAt, serverSaid, tryNow }
})
