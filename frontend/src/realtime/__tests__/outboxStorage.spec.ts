// @vitest-environment node
import { IDBFactory, IDBKeyRange } from 'fake-indexeddb'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { IndexedDbOutboxStorage, MemoryOutboxStorage, type OutboxEntry } from '..'

import 'fake-indexeddb/auto'

function entry(ref: string, changes: Partial<OutboxEntry> = {}): OutboxEntry {
  return {
    ref,
    user_id: 'alice',
    channel_id: 1,
    payload: `of ${ref}`,
    created_at: '2026-01-31T12:00:00.000Z',
    state: 'pending',
    ...changes,
  }
}

const refs = (entries: OutboxEntry[]): string[] => entries.map(({ ref }) => ref)

beforeEach(() => {
  vi.stubGlobal('indexedDB', new IDBFactory())
  vi.stubGlobal('IDBKeyRange', IDBKeyRange)
})

afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

describe.each([
  ['in memory', () => new MemoryOutboxStorage()],
  ['in IndexedDB', () => new IndexedDbOutboxStorage()],
])('%s', (_, make) => {
  test('entries come back as they were, in their order', async () => {
    const storage = make()
    const error = { code: 'forbidden', message: 'No.' }
    // Neither the refs nor the times tell the order.
    const entries = [entry('z'), entry('a', { state: 'failed', error }), entry('m')]
    for (const one of entries) await storage.save(one)
    expect(await storage.load('alice')).toEqual(entries)
  })

  test('a change keeps the place, and what is removed is gone', async () => {
    const storage = make()
    for (const ref of ['z', 'a', 'm']) await storage.save(entry(ref))
    await storage.save(entry('z', { state: 'failed' }))
    await storage.remove('a')
    await storage.remove('never was')
    expect(await storage.load('alice')).toEqual([entry('z', { state: 'failed' }), entry('m')])
  })

  test('each user has their own', async () => {
    const storage = make()
    await storage.save(entry('a'))
    await storage.save(entry('b', { user_id: 'bob' }))
    expect(refs(await storage.load('bob'))).toEqual(['b'])
    expect(await storage.load('carol')).toEqual([])
  })
})

describe('IndexedDB', () => {
  test('entries outlive the page', async () => {
    const before = new IndexedDbOutboxStorage()
    await before.save(entry('a'))
    expect(before.volatile).toBe(false)
    expect(refs(await new IndexedDbOutboxStorage().load('alice'))).toEqual(['a'])
  })

  test('a browser without it: entries live as long as the page, and that can be seen', async () => {
    vi.stubGlobal('indexedDB', {
      open: () => {
        throw new DOMException('private', 'SecurityError')
      },
    })
    const storage = new IndexedDbOutboxStorage()
    expect(await storage.load('alice')).toEqual([])
    expect(storage.volatile).toBe(true)
    await storage.save(entry('a'))
    await storage.save(entry('b'))
    await storage.remove('a')
    expect(refs(await storage.load('alice'))).toEqual(['b'])
  })

  test('a database that does not open in some seconds is given up', async () => {
    vi.useFakeTimers()
    vi.stubGlobal('indexedDB', { open: () => Object.assign(new EventTarget(), {}) })
    class Request extends EventTarget {}
    for (const name of [
      'IDBRequest',
      'IDBOpenDBRequest',
      'IDBDatabase',
      'IDBTransaction',
      'IDBObjectStore',
      'IDBIndex',
      'IDBCursor',
    ])
      vi.stubGlobal(name, Request)
    const storage = new IndexedDbOutboxStorage()
    const saved = storage.save(entry('a'))
    await vi.advanceTimersByTimeAsync(3_000)
    await saved
    expect(storage.volatile).toBe(true)
    expect(refs(await storage.load('alice'))).toEqual(['a'])
  })

  test('a full disk: what found no place is remembered, and saved when there is some', async () => {
    const storage = new IndexedDbOutboxStorage()
    await storage.save(entry('a'))
    const put = vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(() => {
      throw new DOMException('full', 'QuotaExceededError')
    })
    await storage.save(entry('a', { state: 'failed' }))
    await storage.save(entry('b'))
    expect(storage.volatile).toBe(true)
    expect(await storage.load('alice')).toEqual([entry('a', { state: 'failed' }), entry('b')])
    put.mockRestore()
    await storage.save(entry('a'))
    expect(await storage.load('alice')).toEqual([entry('a'), entry('b')])
  })

  test('a newer page may change the database; this one opens it again', async () => {
    const storage = new IndexedDbOutboxStorage('shared')
    await storage.save(entry('a'))
    await new Promise<void>((resolve) => {
      const request = indexedDB.deleteDatabase('shared')
      request.onsuccess = () => resolve()
    })
    await storage.save(entry('b'))
    expect(storage.volatile).toBe(false)
    expect(refs(await new IndexedDbOutboxStorage('shared').load('alice'))).toEqual(['b'])
  })
})
