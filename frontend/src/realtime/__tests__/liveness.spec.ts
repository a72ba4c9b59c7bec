// @vitest-environment node
import { describe, expect, test } from 'vitest'

import { hello, Scene, settle } from './fakes'

const heartbeat = { type: 'heartbeat', heads: {} }

describe('silence', () => {
  test('a connection with heartbeats is left alone', async () => {
    const scene = new Scene()
    await scene.begin()
    for (let beat = 0; beat < 20; beat++) {
      await scene.world.pass(30_000)
      scene.socket.says(heartbeat)
    }
    expect(scene.socket.sent).toEqual([])
    expect(scene.status.kind).toBe('online')
  })

  test('a missed heartbeat leads to a ping, and a missed pong to a new connection', async () => {
    const scene = new Scene()
    await scene.begin()
    await scene.world.pass(35_000)
    expect(scene.socket.sent).toEqual([])
    await scene.world.pass(1_000)
    expect(scene.socket.sent).toEqual([{ type: 'ping' }])
    await scene.world.pass(4_000)
    expect(scene.status.kind).toBe('online')
    await scene.world.pass(1_000)
    expect(scene.status).toMatchObject({ kind: 'waiting', reason: { code: 1006, text: 'network' } })
    await scene.again()
    expect(scene.status.kind).toBe('online')
  })

  test('the interval is that of hello', async () => {
    const scene = new Scene()
    await scene.begin({ keepalive: { ping_seconds: 1, dead_seconds: 3, heartbeat_seconds: 2 } })
    await scene.world.pass(8_000)
    expect(scene.socket.of('ping')).toHaveLength(1)
  })

  test('a pong is enough', async () => {
    const scene = new Scene()
    await scene.begin()
    await scene.world.pass(36_000)
    scene.socket.says({ type: 'pong' })
    await scene.world.pass(30_000)
    expect(scene.status.kind).toBe('online')
    expect(scene.socket.of('ping')).toHaveLength(1)
  })

  test('one timer watches, however much comes', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 0)
    scene.socket.subscribed(1, 0)
    for (let seq = 1; seq <= 1000; seq++)
      scene.socket.says({ type: 'message', channel_id: 1, seq, user_id: 'bob', payload: '', id: 1 })
    expect(scene.events).toHaveLength(1000)
    expect(scene.world.ticking).toBe(1)
  })
})

describe('the browser says', () => {
  test('visible: a connection that stood is asked for a sign of life, once', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.world.happens('visible')
    scene.world.happens('visible')
    expect(scene.socket.sent).toEqual([{ type: 'ping' }])
    await scene.world.pass(5_000)
    expect(scene.status.kind).toBe('waiting')
  })

  test('visible: a wait is cut short', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.socket.ends()
    scene.world.happens('visible')
    await settle()
    expect(scene.world.sockets).toHaveLength(2)
    // While it is connecting, there is nothing to ask and nothing to cut.
    scene.world.happens('visible')
    await settle()
    expect(scene.socket.sent).toEqual([])
    expect(scene.world.sockets).toHaveLength(2)
  })

  test('online: a wait is cut short, and the backoff begins anew', async () => {
    const scene = new Scene()
    scene.world.dice = 1
    scene.refusal = new Error('no network')
    scene.client.start()
    await scene.world.pass(40_000)
    scene.refusal = undefined
    scene.world.happens('online')
    expect(scene.status).toEqual({ kind: 'connecting', attempt: 0 })
    await settle()
    scene.socket.says(hello())
    expect(scene.status.kind).toBe('online')
  })

  test('offline: a connection is looked at, and then it is known to be offline', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.world.happens('offline')
    expect(scene.status.kind).toBe('online')
    expect(scene.socket.sent).toEqual([{ type: 'ping' }])
    await scene.world.pass(5_000)
    expect(scene.status).toEqual({ kind: 'offline' })
    await scene.world.pass(29_000)
    expect(scene.tickets).toBe(1)
    scene.world.happens('online')
    await settle()
    expect(scene.tickets).toBe(2)
  })

  test('offline: a wait becomes one for the network; the browser may be wrong, though', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.socket.ends()
    scene.world.happens('offline')
    expect(scene.status).toEqual({ kind: 'offline' })
    await scene.world.pass(29_999)
    expect(scene.tickets).toBe(1)
    await scene.world.pass(1)
    scene.socket.says(hello())
    expect(scene.status.kind).toBe('online')
  })

  test('offline, and somebody says "try now"', async () => {
    const scene = new Scene()
    scene.world.online = false
    scene.refusal = new Error('no network')
    scene.client.start()
    await settle()
    expect(scene.status).toEqual({ kind: 'offline' })
    scene.client.tryNow()
    expect(scene.tickets).toBe(2)
  })
})
