/** Who wants to hear what. What one listener throws keeps nothing from the others. */
export class Listeners<Events extends object> {
  private readonly all = new Map<keyof Events, Set<(event: never) => void>>()

  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const those = this.all.get(name) ?? new Set()
    this.all.set(name, those)
    those.add(listener)
    return () => void those.delete(listener)
  }

  tell<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of [...(this.all.get(name) ?? [])]) {
      try {
        ;(listener as (event: Events[Name]) => void)(event)
      } catch (error) {
        // Reported like any uncaught error, but after the others have heard.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
