import { defineStore } from 'pinia'

import type { User } from '@/protocol'

export const useUsersStore = defineStore('users', () => {
  function displayName(userId: string): string {
    return userId
  }
  async function search(_contains: string): Promise<User[]> {
    return Promise.resolve([])
  }

  return { displayName, search }
})
