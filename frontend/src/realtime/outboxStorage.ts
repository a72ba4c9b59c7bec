import { openDB, type DBSchema, type IDBPDatabase } from 'idb'

export interface OutboxEntry {
  ref: string
  user_id: string
  channel_id: number
  payload: string
  /** RFC 3339, of this device's clock. */
  created_at: string
  state: 'pending' | 'failed'
  error?: { code: string; message: string }
}

export interface OutboxStorage {
  /** Of one user, in the order in which they were added. */
  load(userId: string): Promise<OutboxEntry[]>
  save(entry: OutboxEntry): Promise<void>
  remove(ref: string): Promise<void>
}

/** Lasts as long as the page: for bots, tests, and browsers that refuse storage. */
export class MemoryOutboxStorage implements OutboxStorage {
  private readonly entries = new Map<string, OutboxEntry>()

  load(userId: string): Promise<OutboxEntry[]> {
    return Promise.resolve([...this.entries.values()].filter((entry) => entry.user_id === userId))
  }

  save(entry: OutboxEntry): Promise<void> {
    this.entries.set(entry.ref, { ...entry })
    return Promise.resolve()
  }

  remove(ref: string): Promise<void> {
    this.entries.delete(ref)
    return Promise.resolve()
  }
}

interface Schema extends DBSchema {
  entries: {
    key: number
    value: OutboxEntry & { at?: number }
    indexes: { ref: string; user_id: string }
  }
}

/** Outlives the page. What the browser refuses is kept in memory instead. */
export class IndexedDbOutboxStorage implements OutboxStorage {
  /** Nothing outlives the page: private windows of some browsers, a full disk. */
  volatile = false
  private readonly memory = new MemoryOutboxStorage()
  private opened: Promise<IDBPDatabase<Schema>> | null = null

  constructor(private readonly name = 'storm-outbox') {}

  async load(userId: string): Promise<OutboxEntry[]> {
    const kept = await this.attempt(async (database) => {
      const found = await database.getAllFromIndex('entries', 'user_id', userId)
      return found.sort((a, b) => (a.at ?? 0) - (b.at ?? 0)).map(({ at: _, ...entry }) => entry)
    })
    return [...(kept ?? []), ...(await this.memory.load(userId))]
  }

  async save(entry: OutboxEntry): Promise<void> {
    const done = await this.attempt(async (database) => {
      const tx = database.transaction('entries', 'readwrite')
      const at = await tx.store.index('ref').getKey(entry.ref)
      // Numbered by the database: two entries of one millisecond keep their order.
      await tx.store.put(at === undefined ? { ...entry } : { ...entry, at })
      await tx.done
      return true
    })
    if (done !== true) await this.memory.save(entry)
  }

  async remove(ref: string): Promise<void> {
    await this.memory.remove(ref)
    await this.attempt(async (database) => {
      const tx = database.transaction('entries', 'readwrite')
      const at = await tx.store.index('ref').getKey(ref)
      if (at !== undefined) await tx.store.delete(at)
      await tx.done
    })
  }

  private async attempt<T>(
    work: (database: IDBPDatabase<Schema>) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      this.opened ??= this.open()
      return await work(await this.opened)
    } catch {
      this.opened = null
      this.volatile = true
      return undefined
    }
  }

  private open(): Promise<IDBPDatabase<Schema>> {
    return openDB<Schema>(this.name, 1, {
      upgrade(database) {
        const store = database.createObjectStore('entries', { keyPath: 'at', autoIncrement: true })
        store.createIndex('ref', 'ref', { unique: true })
        store.createIndex('user_id', 'user_id')
      },
      // A newer page wants another version: let it.
      blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
      terminated: () => (this.opened = null),
    })
  }
}
