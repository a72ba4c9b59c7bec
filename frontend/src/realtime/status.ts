import { CLOSE_CODES, type CloseCode } from '@/protocol'

/** Why a connection ended. */
export interface ClosedReason {
  /** Of the close frame; 1006: there was none. */
  code: number
  /**
   * A stable word: what the server said in `reconnect` (such as `restart`), the name of the close
   * code (such as `slow_consumer`), `network` when it just broke, `unavailable` when the gateway
   * refused a ticket for now.
   */
  text: string
}

/** There was no close frame. */
export const BROKEN = 1006
/** Not with this login. */
export const REFUSED = 4500
/** Not with any. */
export const FORBIDDEN = 4503
/** Too much was sent. */
export const TOO_FAST = 4003

export type ConnectionStatus =
  | { kind: 'idle' }
  | { kind: 'connecting'; attempt: number }
  /** `restored`: there was another connection before. */
  | { kind: 'online'; since: number; restored: boolean }
  /** `retryAt`: milliseconds since 1970. */
  | { kind: 'waiting'; attempt: number; retryAt: number; reason: ClosedReason }
  /** The browser knows of no network. */
  | { kind: 'offline' }
  /** It would end the same way again: somebody has to do something first. */
  | { kind: 'ended'; reason: ClosedReason }

export function nameOf(code: number): string {
  return code in CLOSE_CODES ? CLOSE_CODES[code as CloseCode].name : 'network'
}

/** Whether to connect again by oneself after this close code. */
export function mayReconnect(code: number): boolean {
  // Not said by the gateway, which only echoes a goodbye, but by something on the way to it: a proxy
  // that is restarted, for example.
  if (code === 1000 || code === 1001) return true
  if (code in CLOSE_CODES) return CLOSE_CODES[code as CloseCode].reconnect
  return code < 4500 || code > 4999
}
