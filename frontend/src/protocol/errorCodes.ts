// Made by `make docs` from the gateway's types. Do not edit.

/** Why a command or a request failed, with the HTTP status. */
export const ERROR_CODES = {
  author_mismatch: 403,
  banned: 403,
  conflict: 409,
  forbidden: 403,
  internal: 500,
  invalid_command: 400,
  invalid_request: 400,
  limit_reached: 409,
  method_not_allowed: 405,
  name_taken: 409,
  not_found: 404,
  payload_too_large: 413,
  rate_limited: 429,
  unauthenticated: 401,
  unavailable: 503,
  upgrade_required: 426,
} as const

export type ErrorCode = keyof typeof ERROR_CODES
