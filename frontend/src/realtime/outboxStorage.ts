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

/** A database that does not open in this time never will: some browsers forget the question. */
const OPENING_MS = 3_000

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
    // What could not be saved is newer than what could.
    const entries = new Map((kept ?? []).map((entry) => [entry.ref, entry]))
    for (const entry of await this.memory.load(userId)) entries.set(entry.ref, entry)
    return [...entries.values()]
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
    if (done === undefined) await this.memory.save(entry)
    else await this.memory.remove(entry.ref)
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

  /** Undefined: refused, even by a database that was opened anew. */
  private async attempt<T>(
    work: (database: IDBPDatabase<Schema>) => Promise<T>,
  ): Promise<T | undefined> {
    for (const hasAnother of [true, false]) {
      try {
        this.opened ??= inTime(this.open())
        return await work(await this.opened)
      } catch (error) {
        // One that was closed meanwhile is worth another try, one that never opened is not.
        if (hasAnother && (error as Partial<Error> | null)?.name === 'InvalidStateError')
          this.opened = null
        else break
      }
    }
    this.volatile = true
    return undefined
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

function inTime<T>(work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('It takes too long.')), OPENING_MS)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
