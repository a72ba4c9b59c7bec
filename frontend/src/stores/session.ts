import { defineStore } from 'pinia'
import { ref } from 'vue'

import type { User } from '@/protocol'

export type SessionPhase = 'unknown' | 'anonymous' | 'authenticated'

export const useSessionStore = defineStore('session', () => {
  const user = ref<User | null>(null)
  const phase = ref<SessionPhase>('unknown')

  async function restore(): Promise<void> {}
  async function register(_fields: {
    user_id: string
    password: string
    display_name?: string
  }): Promise<void> {}
  async function login(_userId: string, _password: string): Promise<void> {}
  async function logout(): Promise<void> {}
  async function update(_change: { display_name?: string; password?: string }): Promise<void> {}
  async function deleteAccount(): Promise<void> {}

  return { user, phase, restore, register, login, logout, update, deleteAccount }
})
