import { useConnectionStore } from '../connection'
import { useMessagesStore } from '../messages'
import { useSessionStore } from '../session'
import { FakeClient, FakeOutbox, settle } from './fakes'

// Apart from the fakes: they stand in for '@/realtime', which these stores import.

export const client = (): FakeClient => FakeClient.latest as FakeClient
export const outbox = (): FakeOutbox => FakeOutbox.latest as FakeOutbox

/** The texts of channel 1, as the page shows them. */
export const payloads = (): string[] =>
  useMessagesStore()
    .timeline(1)
    .rows.map(({ payload }) => payload)

/** What this browser keeps, as one text. */
export function kept(): string {
  return Array.from({ length: localStorage.length }, (_, index) => {
    const name = localStorage.key(index) ?? ''
    return `${name}=${localStorage.getItem(name) ?? ''}`
  }).join('\n')
}

/** Opens the page as the user `me`, with a connection. */
export async function logIn(): Promise<void> {
  useConnectionStore()
  await useSessionStore().restore()
  await settle()
  client().online()
}
