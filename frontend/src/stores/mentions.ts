/** Whether a text calls a user: `@user_id` as a word of its own. */
export function mentions(payload: string, userId: string): boolean {
  // Most texts call nobody.
  if (!payload.includes(`@${userId}`)) return false
  return pattern(userId).test(payload)
}

let last: { userId: string; pattern: RegExp } | null = null

function pattern(userId: string): RegExp {
  if (last?.userId !== userId) {
    const escaped = userId.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    // An id may hold . _ - @ +, and a sentence may end in one of them: "@bob." calls bob,
    // "@bob.smith" does not.
    last = {
      userId,
      pattern: new RegExp(`(?<![\\p{L}\\p{N}._@+-])@${escaped}(?![.@+-]*[\\p{L}\\p{N}_])`, 'u'),
    }
  }
  return last.pattern
}
