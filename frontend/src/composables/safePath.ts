/** Where somebody wanted to go before the login: a path of this page, never another host. */
export function safePath(next: unknown): string {
  return typeof next === 'string' && /^\/(?![/\\])/.test(next) ? next : '/'
}
