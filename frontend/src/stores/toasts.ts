import { defineStore } from 'pinia'
import { ref } from 'vue'

export interface Toast {
  id: number
  text: string
  kind: 'info' | 'error' | 'ok'
  action?: { label: string; run: () => void }
}

export const useToastsStore = defineStore('toasts', () => {
  const items = ref<Toast[]>([])

  function show(_toast: Omit<Toast, 'id'>): number {
    return 0
  }
  function dismiss(_id: number): void {}

  return { items, show, dismiss }
})
