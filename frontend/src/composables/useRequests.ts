import { onScopeDispose } from 'vue'

/** What one part of the page may ask another for, wherever that is mounted. */
export type Request = 'switcher' | 'shortcuts' | 'browse' | 'create' | 'direct'

const listeners = new Map<Request, Set<() => void>>()

export function askFor(request: Request): void {
  for (const listener of listeners.get(request) ?? []) listener()
}

export function onRequest(request: Request, listener: () => void): void {
  const those = listeners.get(request) ?? new Set()
  listeners.set(request, those)
  those.add(listener)
  onScopeDispose(() => those.delete(listener))
}
