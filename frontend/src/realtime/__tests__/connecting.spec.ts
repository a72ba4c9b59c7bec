// @vitest-environment node
import { describe, expect, test, vi } from 'vitest'

import { answered, hello, Scene, settle } from './fakes'

/** Everything but `since` and `retryAt`, in the order in which it was told. */
const kinds = (scene: Scene): string[] => scene.statuses.map(({ kind }) => kind)

describe('coming in', () => {
  test('each connection has a ticket of its own in its address', async () => {
    const scene = new Scene({ url: 'ws://storm.test/ws' })
    expect(scene.status).toEqual({ kind: 'idle' })
    await scene.begin()
    expect(scene.socket.url).toBe('ws://storm.test/ws?token=ticket%201')
    expect(scene.socket.protocols).toEqual(['storm.v1'])
    expect(scene.status).toEqual({ kind: 'online', since: scene.world.time, restored: false })
    scene.socket.ends()
    await scene.again()
    expect(scene.socket.url).toBe('ws://storm.test/ws?token=ticket%202')
    expect(scene.status).toMatchObject({ kind: 'online', restored: true })
    expect(kinds(scene)).toEqual(['connecting', 'online', 'waiting', 'connecting', 'online'])
  })

  test('the first hello is told before the client counts as online', async () => {
    const scene = new Scene()
    const order: string[] = []
    scene.client.on('hello', ({ node }) => order.push(node))
    scene.client.on('status', ({ kind }) => order.push(kind))
    await scene.begin()
    expect(order).toEqual(['connecting', 'node-1', 'online'])
  })

  test('what comes before hello is not heard, nor is what is no frame', async () => {
    const scene = new Scene()
    scene.client.start()
    await settle()
    scene.socket.says({ type: 'reconnect', after_ms: 0, reason: 'restart' })
    for (const data of ['{', 'null', '7', new ArrayBuffer(2)]) scene.socket.onmessage?.({ data })
    expect(scene.events).toEqual([])
    scene.socket.says(hello())
    expect(scene.status.kind).toBe('online')
    for (const data of ['{', 'null', '7', new ArrayBuffer(2)]) scene.socket.onmessage?.({ data })
    scene.socket.says(hello({ user_id: 'mallory' }))
    expect(scene.status.kind).toBe('online')
  })

  test('a server that says no hello is left after a quarter of a minute', async () => {
    const scene = new Scene()
    scene.client.start()
    await scene.world.pass(14_999)
    expect(scene.status.kind).toBe('connecting')
    await scene.world.pass(1)
    expect(scene.status).toMatchObject({
      kind: 'waiting',
      attempt: 0,
      reason: { code: 1006, text: 'network' },
    })
    expect(scene.world.sockets[0]?.closedWith).toBe(1000)
  })

  test('a ticket that never comes is not waited for, and one that comes late is not used', async () => {
    let give: (ticket: string) => void = () => undefined
    const scene = new Scene({ ticket: () => new Promise((resolve) => (give = resolve)) })
    scene.client.start()
    await scene.world.pass(15_000)
    expect(scene.status.kind).toBe('waiting')
    give('late')
    await settle()
    expect(scene.world.sockets).toHaveLength(0)
  })

  test('a browser that refuses to make a socket is asked again', async () => {
    const scene = new Scene()
    scene.world.refuseSockets = true
    scene.client.start()
    await settle()
    expect(scene.status).toMatchObject({ kind: 'waiting', reason: { text: 'network' } })
    scene.world.refuseSockets = false
    await scene.again()
    expect(scene.status.kind).toBe('online')
  })

  test('starting twice makes one connection', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.start()
    await settle()
    expect(scene.world.sockets).toHaveLength(1)
  })

  test('a client that is stopped says goodbye, hears nothing and leaves nothing behind', async () => {
    const scene = new Scene()
    await scene.begin()
    const socket = scene.socket
    const receive = socket.onmessage
    scene.client.stop()
    expect(scene.status).toEqual({ kind: 'idle' })
    expect(socket.closedWith).toBe(1000)
    receive?.({ data: JSON.stringify({ type: 'event', subject: 's', payload: 1 }) })
    await scene.world.pass(120_000)
    expect(scene.world.sockets).toHaveLength(1)
    expect(scene.world.listening).toBe(0)
    expect(scene.world.ticking).toBe(0)
    await scene.begin()
    expect(scene.status.kind).toBe('online')
  })

  test('a client that is stopped while it asks for a ticket opens no socket', async () => {
    const scene = new Scene()
    scene.client.start()
    scene.client.stop()
    await scene.world.pass(60_000)
    expect(scene.world.sockets).toHaveLength(0)
    expect(scene.world.ticking).toBe(0)
  })

  test('whoever listens may stop the client, at each of its steps', async () => {
    for (const step of ['connecting', 'waiting'] as const) {
      const scene = new Scene()
      scene.client.on('status', ({ kind }) => kind === step && scene.client.stop())
      scene.client.start()
      await settle()
      if (step === 'waiting') scene.socket.ends()
      await scene.world.pass(60_000)
      expect(scene.status).toEqual({ kind: 'idle' })
      expect(scene.world.ticking).toBe(0)
    }
    const scene = new Scene()
    scene.client.on('hello', () => scene.client.stop())
    await scene.begin()
    expect(scene.status).toEqual({ kind: 'idle' })
  })

  test('a listener that throws keeps nothing from the others, and is reported', async () => {
    const scene = new Scene()
    const report = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation(() => undefined)
    const heard: string[] = []
    scene.client.on('hello', () => {
      throw new Error('mine')
    })
    const end = scene.client.on('hello', ({ user_id }) => heard.push(user_id))
    await scene.begin()
    expect(heard).toEqual(['alice'])
    expect(() => report.mock.calls[0]?.[0]()).toThrow('mine')
    end()
    scene.socket.ends()
    await scene.again()
    expect(heard).toEqual(['alice'])
  })

  test('a connection as somebody else is none: nothing is sent in their name', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 0)
    scene.socket.ends()
    await scene.again({ user_id: 'bob' })
    expect(scene.status).toEqual({
      kind: 'ended',
      reason: { code: 4500, text: 'authentication_failed' },
    })
    expect(scene.socket.sent).toEqual([])
    expect(scene.socket.closedWith).toBe(1000)

    const other = new Scene({ userId: 'carol' })
    await other.begin()
    expect(other.status.kind).toBe('ended')
  })
})

describe('tickets', () => {
  test.each([
    [401, 4500, 'authentication_failed'],
    [403, 4503, 'forbidden'],
  ])('%d for a ticket is the end', async (status, code, text) => {
    const scene = new Scene()
    scene.refusal = answered(status)
    scene.client.start()
    await settle()
    expect(scene.status).toEqual({ kind: 'ended', reason: { code, text } })
    await scene.world.pass(120_000)
    expect(scene.tickets).toBe(1)
    expect(scene.world.listening).toBe(0)
  })

  test.each([
    [new TypeError('Failed to fetch'), 'network'],
    [answered(0), 'network'],
    [answered(503), 'unavailable'],
  ])('without an answer, or with another one, it is asked for again: %o', async (error, text) => {
    const scene = new Scene()
    scene.refusal = error
    scene.client.start()
    await settle()
    expect(scene.status).toMatchObject({ kind: 'waiting', reason: { code: 1006, text } })
    await scene.world.pass(250)
    expect(scene.tickets).toBe(2)
  })

  test('Retry-After of the answer counts instead of the backoff', async () => {
    const scene = new Scene()
    scene.refusal = answered(429, 7_000)
    scene.client.start()
    await settle()
    expect(scene.status).toMatchObject({ retryAt: scene.world.time + 7_000 })
    await scene.world.pass(6_999)
    expect(scene.tickets).toBe(1)
    await scene.world.pass(1)
    expect(scene.tickets).toBe(2)
  })

  test('a token that is about to end is renewed on the living connection', async () => {
    const scene = new Scene({ accessToken: () => Promise.resolve('fresh') })
    await scene.begin()
    scene.socket.says({ type: 'token.expiring', expires_in: 60 })
    await settle()
    expect(scene.socket.sent).toEqual([{ type: 'authenticate', token: 'fresh' }])
    expect(scene.status.kind).toBe('online')
    expect(scene.world.sockets).toHaveLength(1)
  })

  test('a new token that comes after its connection is not said to the next one', async () => {
    let give: (token: string) => void = () => undefined
    const scene = new Scene({ accessToken: () => new Promise((resolve) => (give = resolve)) })
    await scene.begin()
    scene.socket.says({ type: 'token.expiring', expires_in: 60 })
    scene.socket.ends()
    await scene.again()
    give('stale')
    await settle()
    expect(scene.socket.sent).toEqual([])
  })

  test.each([
    ['none', () => Promise.resolve(null)],
    ['a failure', () => Promise.reject(new Error('no network'))],
    ['nobody to ask', undefined],
  ])('with %s instead, 4002 leads to the next ticket', async (_, accessToken) => {
    const scene = new Scene(accessToken ? { accessToken } : {})
    await scene.begin()
    scene.socket.says({ type: 'token.expiring', expires_in: 60 })
    await settle()
    expect(scene.socket.sent).toEqual([])
    scene.socket.ends(4002)
    await scene.again()
    expect(scene.tickets).toBe(2)
    expect(scene.status.kind).toBe('online')
  })
})
