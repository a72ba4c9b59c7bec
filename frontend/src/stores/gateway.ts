import { defineStore } from 'pinia'
import { shallowRef } from 'vue'

import { asApiError, ApiError } from '@/api'
import type { Ack, Command } from '@/protocol'
import type { GatewayClient, Outbox } from '@/realtime'

/**
 * The connection and the outbox of whoever is logged in, for the stores that send. The connection
 * store makes and ends both, and hands what comes to the stores.
 */
export const useGatewayStore = defineStore('gateway', () => {
  const client = shallowRef<GatewayClient | null>(null)
  const outbox = shallowRef<Outbox | null>(null)

  /** Sends a command and waits for its ack. Fails with ApiError. */
  async function command(what: Command): Promise<Ack> {
    if (!client.value) throw new ApiError(0, 'unauthenticated', 'Nobody is logged in.')
    try {
      return await client.value.command(what)
    } catch (error) {
      throw asApiError(error)
    }
  }

  return { client, outbox, command }
})
