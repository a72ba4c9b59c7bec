import { defineStore } from 'pinia'

export const useDraftsStore = defineStore('drafts', () => {
  function get(_channelId: number): string {
    return ''
  }
  function set(_channelId: number, _text: string): void {}

  return { get, set }
})
