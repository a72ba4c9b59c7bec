// @vitest-environment node
import { describe, expect, test } from 'vitest'

import { CLOSE_CODES } from '@/protocol'

import { answered, hello, Scene, settle } from './fakes'

describe('backoff', () => {
  test('the bound doubles from 0.5 s to 30 s, and the wait is a random part of it', async () => {
    const scene = new Scene()
    scene.refusal = new Error('no network')
    scene.world.dice = 1
    const waits: number[] = []
    scene.client.on('status', (status) => {
      if (status.kind === 'waiting') waits.push(status.retryAt - scene.world.time)
    })
    scene.client.start()
    await scene.world.pass(120_000)
    expect(waits.slice(0, 8)).toEqual([500, 1000, 2000, 4000, 8000, 16000, 30000, 30000])
    scene.client.stop()
    scene.world.dice = 0.1
    waits.length = 0
    scene.client.start()
    await scene.world.pass(3_500)
    expect(waits.slice(0, 4)).toEqual([50, 100, 200, 400])
  })

  test('attempts are counted on until a connection has lasted', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.socket.ends()
    expect(scene.status).toMatchObject({ kind: 'waiting', attempt: 0 })
    await scene.world.pass(250)
    expect(scene.status).toEqual({ kind: 'connecting', attempt: 1 })
    scene.socket.says(hello())
    await scene.world.pass(9_999)
    scene.socket.ends()
    expect(scene.status).toMatchObject({ kind: 'waiting', attempt: 1 })
    await scene.world.pass(500)
    scene.socket.says(hello())
    await scene.world.pass(10_000)
    scene.socket.ends()
    expect(scene.status).toMatchObject({ kind: 'waiting', attempt: 0 })
  })

  test('"try now" cuts the wait short, and does nothing to what is well or idle', async () => {
    const scene = new Scene()
    scene.client.tryNow()
    expect(scene.status.kind).toBe('idle')
    await scene.begin()
    scene.client.tryNow()
    expect(scene.status.kind).toBe('online')
    scene.world.dice = 1
    scene.socket.ends()
    scene.client.tryNow()
    await settle()
    expect(scene.world.sockets).toHaveLength(2)
    // The timer of the wait is gone: no third connection.
    scene.socket.says(hello())
    await scene.world.pass(2_000)
    expect(scene.world.sockets).toHaveLength(2)
  })

  test('the time that the server names in `reconnect` counts instead', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.world.dice = 1
    scene.socket.says({ type: 'reconnect', after_ms: 12_500, reason: 'restart' })
    expect(scene.events).toEqual([{ type: 'reconnect', after_ms: 12_500, reason: 'restart' }])
    await scene.world.pass(2_500)
    scene.socket.ends(1012)
    expect(scene.status).toEqual({
      kind: 'waiting',
      attempt: 0,
      retryAt: scene.world.time + 10_000,
      reason: { code: 1012, text: 'restart' },
    })
    await scene.world.pass(9_999)
    expect(scene.tickets).toBe(1)
    await scene.world.pass(1)
    expect(scene.tickets).toBe(2)
    scene.socket.ends()
    // It was for that one time.
    expect(scene.status).toMatchObject({ retryAt: scene.world.time + 1_000 })
  })

  test('a time that is over by the end of the connection is no wait', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.socket.says({ type: 'reconnect', after_ms: 100, reason: 'restart' })
    await scene.world.pass(1_000)
    scene.socket.ends(1012)
    expect(scene.status).toMatchObject({ retryAt: scene.world.time })
  })

  test('a server that said `reconnect` and does not close is left', async () => {
    const scene = new Scene()
    await scene.begin()
    const first = scene.socket
    scene.socket.says({ type: 'reconnect', after_ms: 1_000, reason: 'restart' })
    await scene.world.pass(2_500)
    expect(scene.world.sockets).toHaveLength(1)
    await scene.world.pass(1_500)
    expect(first.closedWith).toBe(1000)
    expect(scene.world.sockets).toHaveLength(2)
  })
})

describe('close codes', () => {
  const back = [1005, 1006, 1000, 1001, 1011, 1012, 1013, 3000, 4000, 4001, 4002, 4003, 4321, 5000]
  test.each(back)('%d: comes back', async (code) => {
    const scene = new Scene()
    await scene.begin()
    scene.socket.ends(code)
    expect(scene.status).toMatchObject({ kind: 'waiting', reason: { code } })
    await scene.again()
    expect(scene.status).toMatchObject({ kind: 'online', restored: true })
  })

  test.each([1002, 1007, 1009, 4501, 4502, 4503, 4789])('%d: stays away', async (code) => {
    const scene = new Scene()
    await scene.begin()
    scene.socket.ends(code)
    expect(scene.status).toMatchObject({ kind: 'ended', reason: { code } })
    await scene.world.pass(300_000)
    expect(scene.tickets).toBe(1)
    scene.world.happens('online')
    scene.world.happens('visible')
    expect(scene.tickets).toBe(1)
    // Somebody says so: that is another matter.
    scene.client.tryNow()
    await settle()
    scene.socket.says(hello())
    expect(scene.status.kind).toBe('online')
  })

  test('every code of the gateway is told by its name', async () => {
    for (const [code, { name }] of Object.entries(CLOSE_CODES)) {
      const scene = new Scene()
      await scene.begin()
      scene.socket.ends(Number(code))
      expect(scene.status).toMatchObject({ reason: { code: Number(code), text: name } })
      scene.client.stop()
    }
  })

  test('4003 is waited for longer than a broken network', async () => {
    const scene = new Scene()
    scene.world.dice = 1
    await scene.begin()
    scene.socket.ends(4003)
    expect(scene.status).toMatchObject({ retryAt: scene.world.time + 8_000 })
  })

  test('4500 is worth one more ticket, which may end the client', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.socket.ends(4500)
    expect(scene.status).toMatchObject({ kind: 'waiting', reason: { code: 4500 } })
    scene.refusal = answered(401)
    await scene.world.pass(2_000)
    expect(scene.status).toMatchObject({ kind: 'ended', reason: { code: 4500 } })
    expect(scene.world.sockets).toHaveLength(1)
  })

  test('4500 twice is the end, however many tickets there are', async () => {
    const scene = new Scene()
    await scene.begin()
    await scene.world.pass(1_000)
    scene.socket.ends(4500)
    await scene.world.pass(2_000)
    scene.socket.ends(4500)
    expect(scene.status).toMatchObject({ kind: 'ended', reason: { code: 4500 } })
    await scene.world.pass(300_000)
    expect(scene.tickets).toBe(2)
  })

  test('4500 after a good connection is worth another ticket again', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.socket.ends(4500)
    await scene.world.pass(2_000)
    scene.socket.says(hello())
    await scene.world.pass(10_000)
    scene.socket.ends(4500)
    expect(scene.status.kind).toBe('waiting')
  })
})
