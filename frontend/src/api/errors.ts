/** Why a request failed: the server's `code`, or one of ours: 'network', 'timeout', 'unknown'. */
export class ApiError extends Error {
  override readonly name = 'ApiError'

  constructor(
    /** The HTTP status; 0 when no answer came. */
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfterMs: number | null = null,
  ) {
    super(message)
  }
}

/** Anything that was thrown, as an ApiError: for `error` fields of stores. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  if (typeof error === 'object' && error !== null && 'code' in error) {
    // A command refused by WebSocket has the same code and message.
    const { code, message, retryAfterMs } = error as Record<string, unknown>
    return new ApiError(
      0,
      String(code),
      typeof message === 'string' ? message : '',
      typeof retryAfterMs === 'number' ? retryAfterMs : null,
    )
  }
  return new ApiError(0, 'unknown', String(error))
}

// For answers that are not the gateway's, such as a proxy's page.
const CODE_OF_STATUS: Record<number, string> = {
  400: 'invalid_request',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  409: 'conflict',
  413: 'payload_too_large',
  429: 'rate_limited',
  500: 'internal',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
}

/** Reads the error of an answer, whoever gave it. */
export async function errorOf(answer: Response): Promise<ApiError> {
  let body: { code?: unknown; message?: unknown; retry_after_ms?: unknown } = {}
  try {
    const json: unknown = await answer.json()
    if (typeof json === 'object' && json !== null) body = json
  } catch {
    // Not JSON: the status says enough.
  }
  const said = typeof body.retry_after_ms === 'number' ? body.retry_after_ms : null
  return new ApiError(
    answer.status,
    typeof body.code === 'string' ? body.code : (CODE_OF_STATUS[answer.status] ?? 'unknown'),
    typeof body.message === 'string' ? body.message : answer.statusText,
    said ?? retryAfter(answer.headers.get('Retry-After')),
  )
}

/** `Retry-After` in milliseconds: it is said in seconds or as a date. */
export function retryAfter(header: string | null, now = Date.now()): number | null {
  if (header === null || header.trim() === '') return null
  const seconds = Number(header)
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000)
  const date = Date.parse(header)
  return Number.isNaN(date) ? null : Math.max(0, date - now)
}
