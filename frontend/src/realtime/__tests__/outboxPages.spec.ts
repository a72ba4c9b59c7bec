// @vitest-environment node
import { afterEach, expect, test, vi } from 'vitest'

import { MemoryOutboxStorage, Outbox, type Exclusively } from '..'
import { FakeWorld, settle } from './fakes'
import { outboxOf, Post, states, write } from './outboxFakes'

afterEach(() => vi.unstubAllGlobals())

test('a connection that is back is used at once', async () => {
  const world = new FakeWorld()
  const post = new Post()
  const outbox = outboxOf(post, world)
  await write(outbox, 'a')
  await write(outbox, 'elsewhere', 2)
  await settle()
  await post.refuses('unavailable', 20_000)
  await outbox.flush()
  await settle()
  // What is under way is not sent a second time.
  expect(post.payloads).toEqual(['a', 'elsewhere', 'a'])
  await world.pass(30_000)
  expect(post.payloads).toHaveLength(3)
})

test('what a page left behind is sent by the next one, in order and under the same refs', async () => {
  const storage = new MemoryOutboxStorage()
  const before = outboxOf(new Post(), new FakeWorld(), storage)
  const entries = [await write(before, 'a'), await write(before, 'b')]
  before.stop()
  const post = new Post()
  const outbox = outboxOf(post, new FakeWorld(), storage)
  let told = 0
  outbox.on('change', () => (told += 1))
  await outbox.flush()
  await settle()
  expect(told).toBeGreaterThan(0)
  expect(outbox.entries()).toEqual(entries)
  await post.acks()
  await post.acks()
  expect(post.arrived.map(({ ref }) => ref)).toEqual(entries.map(({ ref }) => ref))
  expect(await storage.load('alice')).toEqual([])
})

test('what another user wrote is not sent, nor seen', async () => {
  const storage = new MemoryOutboxStorage()
  const alices = outboxOf(new Post(), new FakeWorld(), storage)
  await write(alices, 'of alice')
  const post = new Post()
  const bobs = outboxOf(post, new FakeWorld(), storage, 'bob')
  await bobs.flush()
  await settle()
  expect(bobs.entries()).toEqual([])
  expect(post.arrived).toEqual([])
  expect(await storage.load('alice')).toHaveLength(1)
})

test('an outbox that is stopped sends nothing more', async () => {
  const world = new FakeWorld()
  const post = new Post()
  const outbox = outboxOf(post, world)
  await write(outbox, 'a')
  await settle()
  await post.refuses('unavailable')
  outbox.stop()
  await outbox.flush()
  await world.pass(60_000)
  expect(post.payloads).toEqual(['a'])

  const other = outboxOf(post, world)
  await write(other, 'b')
  await settle()
  other.stop()
  await post.refuses('unavailable')
  await world.pass(60_000)
  expect(post.payloads).toEqual(['a', 'b'])
  expect(world.ticking).toBe(0)
})

test('two pages take turns: what one has sent or lost the other leaves alone', async () => {
  const storage = new MemoryOutboxStorage()
  const first = outboxOf(new Post(), new FakeWorld(), storage)
  for (const text of ['a', 'b', 'c']) await write(first, text)
  first.stop()

  // One lock for both, as the browser has it.
  let turn: Promise<unknown> = Promise.resolve()
  const locked: Exclusively = (_, work) => {
    const mine = turn.then(work)
    turn = mine.catch(() => undefined)
    return mine
  }
  const posts = [new Post(), new Post()] as const
  const pages = posts.map((post) => outboxOf(post, new FakeWorld(), storage, 'alice', locked))
  for (const page of pages) await page.flush()
  await settle()
  expect(posts.map(({ payloads }) => payloads)).toEqual([['a'], []])
  await posts[0].acks()
  expect(posts.map(({ payloads }) => payloads)).toEqual([['a', 'b'], []])
  await posts[0].refuses('forbidden')
  await posts[0].acks()
  await posts[1].acks()
  expect(posts.flatMap(({ payloads }) => payloads).sort()).toEqual(['a', 'b', 'c'])
  expect(await storage.load('alice')).toMatchObject([{ payload: 'b', state: 'failed' }])
  for (const page of pages) expect(states(page)).toEqual(['b failed'])
})

test('pages of a browser with locks take them, by user and channel', async () => {
  const names: string[] = []
  const request = (name: string, work: () => Promise<unknown>): Promise<unknown> => {
    names.push(name)
    return work()
  }
  vi.stubGlobal('navigator', { locks: { request } })
  const post = new Post()
  const world = new FakeWorld()
  const outbox = new Outbox(new MemoryOutboxStorage(), post.send, {
    userId: 'alice',
    environment: world,
  })
  await write(outbox, 'a', 7)
  await settle()
  expect(names).toEqual(['storm-outbox-alice-7'])
  expect(post.payloads).toEqual(['a'])
})

test('a browser that refuses locks, as it does where storage is refused, sends all the same', async () => {
  const request = () => Promise.reject(new DOMException('storage', 'SecurityError'))
  vi.stubGlobal('navigator', { locks: { request } })
  const post = new Post()
  const outbox = new Outbox(new MemoryOutboxStorage(), post.send, {
    userId: 'alice',
    environment: new FakeWorld(),
  })
  await write(outbox, 'a')
  await settle()
  expect(post.payloads).toEqual(['a'])
  await post.refuses('forbidden')
  expect(states(outbox)).toEqual(['a failed'])
})

test('a browser without locks sends all the same', async () => {
  vi.stubGlobal('navigator', {})
  const post = new Post()
  const outbox = new Outbox(new MemoryOutboxStorage(), post.send, { userId: 'alice' })
  await write(outbox, 'a')
  await settle()
  expect(post.payloads).toEqual(['a'])
  outbox.stop()
})

test('a storage that fails keeps nobody from writing', async () => {
  const post = new Post()
  const no = (): Promise<never> => Promise.reject(new Error('disk full'))
  const outbox = outboxOf(post, new FakeWorld(), { load: no, save: no, remove: no })
  await expect(write(outbox, 'a')).rejects.toThrow('disk full')
  await settle()
  expect(post.payloads).toEqual(['a'])
  await post.refuses('forbidden')
  expect(states(outbox)).toEqual(['a failed'])
})
