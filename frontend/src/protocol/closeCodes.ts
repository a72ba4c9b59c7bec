// Made by `make docs` from the gateway's types. Do not edit.

/** What the number of a close frame says to the client. */
export const CLOSE_CODES = {
  1000: { name: 'normal', reconnect: false },
  1001: { name: 'going_away', reconnect: false },
  1002: { name: 'protocol_error', reconnect: false },
  1007: { name: 'invalid_data', reconnect: false },
  1009: { name: 'message_too_big', reconnect: false },
  1011: { name: 'internal_error', reconnect: true },
  1012: { name: 'service_restart', reconnect: true },
  1013: { name: 'try_again_later', reconnect: true },
  4000: { name: 'keepalive_missed', reconnect: true },
  4001: { name: 'slow_consumer', reconnect: true },
  4002: { name: 'token_expired', reconnect: true },
  4003: { name: 'rate_limited', reconnect: true },
  4500: { name: 'authentication_failed', reconnect: false },
  4501: { name: 'bad_commands', reconnect: false },
  4502: { name: 'too_many_connections', reconnect: false },
  4503: { name: 'forbidden', reconnect: false },
} as const

export type CloseCode = keyof typeof CLOSE_CODES
export type CloseName = (typeof CLOSE_CODES)[CloseCode]['name']
