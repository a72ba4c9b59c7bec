// @vitest-environment node
import { describe, expect, test } from 'vitest'

import { MemoryOutboxStorage } from '..'
import { FakeWorld, settle } from './fakes'
import { outboxOf, Post, states, write } from './outboxFakes'

describe('sending', () => {
  test('an entry is pending until its ack, and gone then', async () => {
    const post = new Post()
    const storage = new MemoryOutboxStorage()
    const outbox = outboxOf(post, new FakeWorld(), storage)
    const entry = await write(outbox, 'hello')
    expect(entry).toMatchObject({ user_id: 'alice', channel_id: 1, state: 'pending' })
    expect(entry.created_at).toBe(new Date(1_000_000).toISOString())
    expect(outbox.entries()).toEqual([entry])
    expect(await storage.load('alice')).toEqual([entry])
    await settle()
    expect(post.arrived).toEqual([entry])
    await post.acks()
    expect(outbox.entries()).toEqual([])
    expect(await storage.load('alice')).toEqual([])
  })

  test('it is kept before the first attempt', async () => {
    const post = new Post()
    const storage = new MemoryOutboxStorage()
    let kept: () => void = () => undefined
    const save = storage.save.bind(storage)
    storage.save = (entry) =>
      new Promise((resolve) => (kept = () => void save(entry).then(resolve)))
    const outbox = outboxOf(post, new FakeWorld(), storage)
    void write(outbox, 'a')
    await settle()
    await outbox.flush()
    await settle()
    expect(post.payloads).toEqual([])
    expect(states(outbox)).toEqual(['a pending'])
    kept()
    await settle()
    expect(post.payloads).toEqual(['a'])
  })

  test('in a channel one goes after the other, and channels do not wait for each other', async () => {
    const post = new Post()
    const outbox = outboxOf(post)
    for (const text of ['a', 'b', 'c']) await write(outbox, text)
    await write(outbox, 'elsewhere', 2)
    await settle()
    expect(post.payloads).toEqual(['a', 'elsewhere'])
    expect(outbox.entries(1).map(({ payload }) => payload)).toEqual(['a', 'b', 'c'])
    expect(outbox.entries(2)).toHaveLength(1)
    await post.acks()
    await post.acks()
    expect(post.payloads).toEqual(['a', 'elsewhere', 'b'])
    await post.acks()
    expect(post.payloads.at(-1)).toBe('c')
  })

  test('every entry has a ref of its own', async () => {
    const outbox = outboxOf(new Post())
    const refs = new Set<string>()
    for (let number = 0; number < 100; number++) refs.add((await write(outbox, 'x')).ref)
    expect(refs.size).toBe(100)
    for (const ref of refs) expect(ref.length).toBeLessThanOrEqual(64)
  })

  test('whoever listens is told of each change, until they have enough', async () => {
    const post = new Post()
    const outbox = outboxOf(post)
    const seen: string[][] = []
    const end = outbox.on('change', () => seen.push(states(outbox)))
    await write(outbox, 'a')
    await settle()
    await post.acks()
    expect(seen).toEqual([['a pending'], []])
    end()
    await write(outbox, 'b')
    expect(seen).toHaveLength(2)
  })
})

describe('a failed attempt', () => {
  test.each(['unavailable', 'rate_limited', 'internal'])(
    '%s: it stays pending and is sent again with the same ref',
    async (code) => {
      const world = new FakeWorld()
      const post = new Post()
      const outbox = outboxOf(post, world)
      await write(outbox, 'a')
      await write(outbox, 'b')
      await settle()
      await post.refuses(code)
      expect(states(outbox)).toEqual(['a pending', 'b pending'])
      expect(post.payloads).toEqual(['a'])
      await world.pass(500)
      expect(post.payloads).toEqual(['a', 'a'])
      expect(post.arrived[1]?.ref).toBe(post.arrived[0]?.ref)
      await post.acks()
      expect(post.payloads).toEqual(['a', 'a', 'b'])
    },
  )

  test('an error that is nobody’s refusal leaves it pending, too', async () => {
    const world = new FakeWorld()
    const post = new Post()
    const outbox = outboxOf(post, world)
    await write(outbox, 'a')
    await settle()
    await post.breaks()
    expect(states(outbox)).toEqual(['a pending'])
    await world.pass(500)
    expect(post.payloads).toEqual(['a', 'a'])
  })

  test('the time that the server names is waited', async () => {
    const world = new FakeWorld()
    const post = new Post()
    await write(outboxOf(post, world), 'a')
    await settle()
    await post.refuses('rate_limited', 9_000)
    await world.pass(8_999)
    expect(post.payloads).toEqual(['a'])
    await world.pass(1)
    expect(post.payloads).toEqual(['a', 'a'])
  })

  test('without one the wait grows, up to half a minute, and is never none', async () => {
    const world = new FakeWorld()
    const post = new Post()
    const outbox = outboxOf(post, world)
    await write(outbox, 'a')
    const waitsWith = async (dice: number): Promise<number[]> => {
      world.random = () => dice
      const waits: number[] = []
      for (let turn = 0; turn < 9; turn++) {
        await settle()
        const { time } = world
        const before = post.arrived.length
        await post.refuses('unavailable')
        while (post.arrived.length === before) await world.pass(250)
        waits.push(world.time - time)
      }
      return waits
    }
    expect(await waitsWith(1)).toEqual([500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000])
    expect(new Set(await waitsWith(0))).toEqual(new Set([250]))
  })

  test('a refusal for good is told, and does not hold up what follows', async () => {
    const post = new Post()
    const storage = new MemoryOutboxStorage()
    const outbox = outboxOf(post, new FakeWorld(), storage)
    await write(outbox, 'a')
    await write(outbox, 'b')
    await settle()
    await post.refuses('forbidden')
    expect(outbox.entries()[0]).toMatchObject({
      state: 'failed',
      error: { code: 'forbidden', message: 'It is forbidden.' },
    })
    expect((await storage.load('alice'))[0]?.state).toBe('failed')
    expect(post.payloads).toEqual(['a', 'b'])
  })

  test('it can be tried again under its ref, or given up', async () => {
    const post = new Post()
    const storage = new MemoryOutboxStorage()
    const outbox = outboxOf(post, new FakeWorld(), storage)
    const entry = await write(outbox, 'a')
    await settle()
    await outbox.retry(entry.ref)
    expect(post.arrived).toHaveLength(1)
    await post.refuses('forbidden')
    await outbox.retry(entry.ref)
    await settle()
    expect(outbox.entries()).toEqual([entry])
    expect(post.arrived).toEqual([entry, entry])
    await post.refuses('forbidden')
    await outbox.discard(entry.ref)
    expect(outbox.entries()).toEqual([])
    expect(await storage.load('alice')).toEqual([])
    await outbox.discard(entry.ref)
    await outbox.retry(entry.ref)
    await settle()
    expect(post.arrived).toHaveLength(2)
  })

  test('what is given up while it waits is not sent, and what is under way is forgotten', async () => {
    const world = new FakeWorld()
    const post = new Post()
    const storage = new MemoryOutboxStorage()
    const outbox = outboxOf(post, world, storage)
    const { ref } = await write(outbox, 'a')
    await settle()
    await post.refuses('unavailable')
    await outbox.discard(ref)
    await world.pass(60_000)
    expect(post.payloads).toEqual(['a'])
    const second = await write(outbox, 'b')
    await settle()
    await outbox.discard(second.ref)
    await post.refuses('forbidden')
    expect(outbox.entries()).toEqual([])
    expect(await storage.load('alice')).toEqual([])
  })
})
