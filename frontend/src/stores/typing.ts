import { defineStore } from 'pinia'

export const useTypingStore = defineStore('typing', () => {
  function typing(_channelId: number): string[] {
    return []
  }
  function notify(_channelId: number): void {}

  return { typing, notify }
})
