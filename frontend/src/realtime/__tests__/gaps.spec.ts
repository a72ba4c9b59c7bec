// @vitest-environment node
import { describe, expect, test } from 'vitest'

import type { Message } from '@/protocol'

import { answered, message, messages, range, Scene, settle, stored } from './fakes'

describe('gaps', () => {
  /** HTTP, with the messages up to a seq, except some. */
  class Shelf {
    readonly asked: number[] = []
    failures: Error[] = []
    constructor(
      readonly head: number,
      readonly without: number[] = [],
    ) {}

    read = (channelId: number, after: number, limit: number): Promise<Message[]> => {
      this.asked.push(after)
      if (this.failures.length > 0) return Promise.reject(this.failures.shift() ?? new Error())
      const seqs = range(after + 1, this.head).filter((seq) => !this.without.includes(seq))
      return Promise.resolve(
        seqs.slice(0, limit).map((seq) => stored(seq, { channel_id: channelId })),
      )
    }
  }

  async function gap(shelf: Shelf, to: number, head: number): Promise<Scene> {
    const scene = new Scene({ history: shelf.read })
    await scene.begin()
    scene.client.subscribe(1, 3)
    scene.socket.subscribed(1, head, { gap: { from: 4, to } })
    // The newest are replayed at once.
    scene.socket.says(...messages(to + 1, head))
    await settle()
    return scene
  }

  test('are read from history page by page, and then it goes on', async () => {
    const shelf = new Shelf(1_500)
    const scene = await gap(shelf, 500, 1_500)
    expect(shelf.asked).toEqual([3, 203, 403, 603, 803])
    expect(scene.seqs()).toEqual(range(4, 1_000))
    expect(scene.told).toEqual(['filled 1 4-1000'])
    expect(scene.socket.of('subscribe').at(-1)).toMatchObject({ since: 1_000 })
    scene.socket.subscribed(1, 1_501)
    scene.socket.says(...messages(1_001, 1_502))
    expect(scene.seqs()).toEqual(range(4, 1_502))
  })

  test('what was said in history is told as it is now', async () => {
    const scene = new Scene({
      history: () =>
        Promise.resolve([
          stored(4, { edited_at: '2026-02-01T00:00:00.000Z', payload: 'changed' }),
          stored(5, { deleted: true, payload: '' }),
        ]),
    })
    await scene.begin()
    scene.client.subscribe(1, 3)
    scene.socket.subscribed(1, 6, { gap: { from: 4, to: 6 } })
    await settle()
    expect(scene.events).toEqual([
      { ...message(4), payload: 'changed', edited_at: '2026-02-01T00:00:00.000Z' },
      { ...message(5), payload: '', deleted: true },
    ])
    // 6 was no message: nothing of it is in history.
    expect(scene.socket.of('subscribe').at(-1)).toMatchObject({ since: 6 })
  })

  test('live events wait until the gap is filled', async () => {
    let give: (page: Message[]) => void = () => undefined
    const scene = new Scene({ history: () => new Promise((resolve) => (give = resolve)) })
    await scene.begin()
    scene.client.subscribe(1, 3)
    scene.socket.subscribed(1, 5, { gap: { from: 4, to: 5 } })
    scene.socket.says(message(6))
    scene.socket.says({ type: 'heartbeat', heads: { 1: 6 } })
    await scene.world.pass(500)
    expect(scene.seqs()).toEqual([])
    give([stored(4), stored(5)])
    await settle()
    expect(scene.seqs()).toEqual([4, 5])
    scene.socket.subscribed(1, 6)
    scene.socket.says(message(6))
    expect(scene.seqs()).toEqual([4, 5, 6])
  })

  test('a gap that is too long is a reset, and what is replayed behind it comes', async () => {
    const shelf = new Shelf(9_000)
    const scene = await gap(shelf, 2_004, 2_010)
    expect(shelf.asked).toEqual([])
    expect(scene.told).toEqual(['reset 1'])
    expect(scene.seqs()).toEqual(range(2_005, 2_010))
    expect((await gap(new Shelf(9_000), 2_003, 2_010)).told).toEqual(['filled 1 4-2006'])
  })

  test('without a history each gap is a reset', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 3)
    scene.socket.subscribed(1, 6, { gap: { from: 4, to: 5 } })
    scene.socket.says(...messages(6, 7))
    expect(scene.told).toEqual(['reset 1'])
    expect(scene.seqs()).toEqual([6, 7])
  })

  test('a gap that is known already, or that has no end, is none', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 9)
    scene.socket.subscribed(1, 10, { gap: { from: 4, to: 9 } })
    scene.client.subscribe(2, 9)
    scene.socket.subscribed(2, 10, { gap: { from: 4 } })
    scene.socket.says(message(10), message(10, 2))
    expect([scene.told, scene.seqs(), scene.seqs(2)]).toEqual([[], [10], [10]])
  })

  test('a page that fails is read again, after the named time if there is one', async () => {
    const shelf = new Shelf(9)
    shelf.failures = [new Error('no network'), answered(429, 5_000)]
    const scene = await gap(shelf, 6, 9)
    expect(shelf.asked).toEqual([3])
    await scene.world.pass(2_000)
    expect(shelf.asked).toEqual([3, 3])
    await scene.world.pass(4_999)
    expect(shelf.asked).toEqual([3, 3])
    await scene.world.pass(1)
    expect(scene.seqs()).toEqual([4, 5, 6, 7])
    expect(scene.told).toEqual(['filled 1 4-7'])
  })

  test('three failures in a row are a reset', async () => {
    const shelf = new Shelf(9)
    shelf.failures = [answered(500), answered(500), answered(500)]
    const scene = await gap(shelf, 6, 9)
    await scene.world.pass(10_000)
    expect(shelf.asked).toEqual([3, 3, 3])
    expect(scene.told).toEqual(['reset 1'])
    scene.socket.subscribed(1, 10)
    scene.socket.says(...messages(8, 10))
    expect(scene.seqs()).toEqual([8, 9, 10])
  })

  test('without a connection it waits for the next one and asks anew', async () => {
    let refuse: (error: unknown) => void = () => undefined
    const scene = new Scene({ history: () => new Promise((_, reject) => (refuse = reject)) })
    await scene.begin()
    scene.client.subscribe(1, 3)
    scene.socket.subscribed(1, 9, { gap: { from: 4, to: 6 } })
    scene.socket.ends()
    refuse(new Error('no network'))
    await settle()
    expect(scene.told).toEqual([])
    await scene.again()
    expect(scene.socket.of('subscribe')).toMatchObject([{ since: 3 }])
  })

  test('a break during the filling does not end it', async () => {
    let give: (page: Message[]) => void = () => undefined
    const scene = new Scene({ history: () => new Promise((resolve) => (give = resolve)) })
    await scene.begin()
    scene.client.subscribe(1, 3)
    scene.socket.subscribed(1, 5, { gap: { from: 4, to: 5 } })
    scene.socket.ends()
    await scene.again()
    expect(scene.socket.sent).toEqual([])
    give([stored(4), stored(5)])
    await settle()
    expect(scene.socket.of('subscribe')).toMatchObject([{ since: 5 }])
  })

  test('a history that does not advance is given up', async () => {
    let reads = 0
    const scene = new Scene({
      history: () => {
        reads += 1
        return Promise.resolve(Array.from({ length: 200 }, (_, index) => stored(index + 1)))
      },
    })
    await scene.begin()
    scene.client.subscribe(1, 200)
    scene.socket.subscribed(1, 300, { gap: { from: 201, to: 250 } })
    await settle()
    expect(reads).toBe(20)
    expect(scene.told).toEqual(['reset 1'])
  })

  test('channels are filled one after the other', async () => {
    const pages: (() => void)[] = []
    const asked: number[] = []
    const scene = new Scene({
      history: (channelId) => {
        asked.push(channelId)
        return new Promise((resolve) => pages.push(() => resolve([])))
      },
    })
    await scene.begin()
    for (const channel of [1, 2, 3]) {
      scene.client.subscribe(channel, 0)
      scene.socket.subscribed(channel, 9, { gap: { from: 1, to: 4 } })
    }
    expect(asked).toEqual([1])
    scene.client.unsubscribe(2)
    pages.shift()?.()
    await settle()
    expect(asked).toEqual([1, 3])
    pages.shift()?.()
    await settle()
    expect(scene.told).toEqual(['filled 1 1-6', 'filled 3 1-6'])
  })

  test.each<[string, (scene: Scene) => Promise<void> | void]>([
    ['is not wanted any more', (scene) => scene.client.unsubscribe(1)],
    ['belongs to a client that was stopped', (scene) => scene.client.stop()],
    [
      'is of another epoch',
      async (scene) => {
        scene.socket.ends()
        await scene.again({ epoch: 'second' })
      },
    ],
  ])('history of a channel that %s goes nowhere', async (_, change) => {
    let give: (page: Message[]) => void = () => undefined
    const scene = new Scene({ history: () => new Promise((resolve) => (give = resolve)) })
    await scene.begin()
    scene.client.subscribe(1, 3)
    scene.socket.subscribed(1, 6, { gap: { from: 4, to: 6 } })
    await change(scene)
    give([stored(4), stored(5)])
    await settle()
    expect(scene.events).toEqual([])
    expect(scene.told).toEqual([])
  })

  test('whoever stops at the first message hears no second one', async () => {
    const scene = new Scene({ history: () => Promise.resolve([stored(4), stored(5)]) })
    scene.client.on('event', () => scene.client.unsubscribe(1))
    await scene.begin()
    scene.client.subscribe(1, 3)
    scene.socket.subscribed(1, 6, { gap: { from: 4, to: 6 } })
    await settle()
    expect(scene.seqs()).toEqual([4])
  })
})
