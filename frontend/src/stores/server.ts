import { defineStore } from 'pinia'
import { ref } from 'vue'

import type { ServerChannel, ServerNode, ServerUser } from '@/api/server'

export const useServerStore = defineStore('server', () => {
  const nodes = ref<ServerNode[]>([])
  const users = ref<ServerUser[]>([])
  const channels = ref<ServerChannel[]>([])

  return { nodes, users, channels }
})
