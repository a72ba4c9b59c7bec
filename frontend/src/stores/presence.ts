import { defineStore } from 'pinia'

export const usePresenceStore = defineStore('presence', () => {
  function count(_channelId: number): number {
    return 0
  }
  function names(_channelId: number): Set<string> | null {
    return null
  }
  function isOnline(_userId: string): boolean {
    return false
  }

  return { count, names, isOnline }
})
