// @vitest-environment node
import { describe, expect, test } from 'vitest'

import { hello, live, message, messages, Scene } from './fakes'

describe('heartbeats', () => {
  test('whoever has less than the head asks, a moment later', async () => {
    const scene = await live(3)
    scene.socket.says({ type: 'heartbeat', heads: { 1: 5, 77: 4 } })
    expect(scene.socket.of('subscribe')).toHaveLength(1)
    await scene.world.pass(500)
    expect(scene.socket.of('subscribe')).toHaveLength(2)
    expect(scene.socket.of('subscribe').at(-1)).toMatchObject({ channel_id: 1, since: 3 })
    scene.socket.subscribed(1, 5)
    scene.socket.says(...messages(4, 5))
    expect(scene.seqs()).toEqual([4, 5])
  })

  test('what comes right behind a heartbeat is not missing', async () => {
    const scene = await live(3)
    scene.socket.says({ type: 'heartbeat', heads: { 1: 5 } }, message(4), message(5))
    await scene.world.pass(500)
    expect(scene.socket.of('subscribe')).toHaveLength(1)
  })

  test('a head of the connection before is not compared', async () => {
    const scene = await live(3)
    scene.socket.says({ type: 'heartbeat', heads: { 1: 5 } })
    scene.socket.ends()
    await scene.again()
    scene.socket.subscribed(1, 3)
    await scene.world.pass(500)
    expect(scene.socket.of('subscribe')).toHaveLength(1)
  })

  test('a head that stays below makes it ask, and only the answer sets it back', async () => {
    const scene = await live(9)
    const beat = { type: 'heartbeat', heads: { 1: 4 } }
    scene.socket.says(beat)
    expect(scene.socket.of('subscribe')).toHaveLength(1)
    scene.socket.says({ type: 'heartbeat', heads: { 1: 9 } }, beat)
    expect(scene.socket.of('subscribe')).toHaveLength(1)
    scene.socket.says(beat)
    expect(scene.socket.of('subscribe').at(-1)).toMatchObject({ since: 9 })
    scene.socket.subscribed(1, 9)
    scene.socket.says(message(10))
    expect(scene.seqs()).toEqual([10])
    expect(scene.told).toEqual([])
  })
})

describe('another life of the database', () => {
  test('a reset: what is kept is void, and what comes follows the head', async () => {
    const scene = await live(90)
    scene.socket.ends()
    await scene.again()
    scene.socket.subscribed(1, 20, { reset: true })
    expect(scene.told).toEqual(['reset 1'])
    scene.socket.says(message(21))
    expect(scene.seqs()).toEqual([21])
  })

  test('another epoch: every place is forgotten, and told so once', async () => {
    const scene = await live(90)
    scene.client.subscribe(2, null)
    scene.socket.ends()
    await scene.again({ epoch: 'second' })
    for (const command of scene.socket.of('subscribe')) expect(command).not.toHaveProperty('since')
    scene.socket.ends()
    await scene.again({ epoch: 'second' })
    scene.socket.subscribed(1, 95)
    scene.socket.subscribed(2, 3)
    // Channel 2 had not begun: nothing of it could be kept.
    expect(scene.told).toEqual(['reset 1'])
    scene.socket.says(message(95), message(96))
    expect(scene.seqs()).toEqual([96])
  })

  test('the same epoch, or a server that names none, changes nothing', async () => {
    const scene = await live(4)
    scene.socket.ends()
    const without = hello()
    delete without.epoch
    await scene.world.pass(500)
    scene.socket.says(without)
    expect(scene.socket.of('subscribe')).toMatchObject([{ since: 4 }])
    scene.socket.ends()
    await scene.again({ epoch: 'first' })
    expect(scene.socket.of('subscribe')).toMatchObject([{ since: 4 }])
    scene.socket.ends()
    await scene.again({ epoch: 'second' })
    expect(scene.socket.of('subscribe')[0]).not.toHaveProperty('since')
  })
})

describe('refused subscribes', () => {
  test.each(['not_found', 'forbidden', 'banned', 'limit_reached'])(
    '%s is told, and not asked again',
    async (code) => {
      const scene = new Scene()
      await scene.begin()
      scene.client.subscribe(1, 0)
      scene.socket.refuses(1, code)
      expect(scene.told).toEqual([`refused 1 ${code}`])
      scene.socket.says(message(1))
      await scene.world.pass(30_000)
      scene.socket.ends()
      await scene.again()
      expect(scene.socket.sent).toEqual([])
      expect(scene.events).toEqual([])
    },
  )

  test.each(['unavailable', 'rate_limited'])('%s: again after the named time', async (code) => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 4)
    scene.socket.refuses(1, code, { retry_after_ms: 3_000 })
    await scene.world.pass(2_999)
    expect(scene.socket.of('subscribe')).toHaveLength(1)
    await scene.world.pass(1)
    expect(scene.socket.of('subscribe')[1]).toMatchObject({ since: 4 })
    scene.socket.subscribed(1, 4)
    scene.socket.says(message(5))
    expect(scene.seqs()).toEqual([5])
    expect(scene.told).toEqual([])
  })

  test('without a named time it waits longer each time, up to half a minute', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 4)
    const waits: number[] = []
    for (let turn = 0; turn < 7; turn++) {
      const { time } = scene.world
      scene.socket.refuses(1, 'internal')
      const asked = scene.socket.sent.length
      while (scene.socket.sent.length === asked) {
        await scene.world.pass(1_000)
        if ((scene.world.time - time) % 20_000 === 0) scene.socket.says({ type: 'pong' })
      }
      waits.push(scene.world.time - time)
    }
    expect(waits).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 32_000, 32_000])
  })

  test('a retry is not made for a channel that is not wanted any more', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 4)
    scene.socket.refuses(1, 'unavailable')
    scene.client.unsubscribe(1)
    await scene.world.pass(5_000)
    expect(scene.socket.of('subscribe')).toHaveLength(1)
  })

  test('a refusal of an old subscribe, or of none, is nobody’s', async () => {
    const scene = await live(0)
    scene.socket.refuses(1, 'not_found')
    const error = { type: 'error', code: 'not_found', message: 'No.' }
    scene.socket.says({ ...error, ref: 'subscribe:99' }, { ...error, ref: 'x' }, error)
    expect(scene.told).toEqual([])
    scene.socket.says(message(1))
    expect(scene.seqs()).toEqual([1])
  })

  test('a break ends the waiting for a retry', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 4)
    scene.socket.refuses(1, 'unavailable', { retry_after_ms: 5_000 })
    scene.socket.ends()
    await scene.again()
    await scene.world.pass(8_000)
    expect(scene.socket.of('subscribe')).toHaveLength(1)
  })
})

test('a client that is started again goes on where it stood', async () => {
  const scene = await live(0)
  scene.socket.says(...messages(1, 3))
  scene.client.stop()
  await scene.begin()
  expect(scene.socket.of('subscribe')).toMatchObject([{ channel_id: 1, since: 3 }])
})
