// @vitest-environment node
import { expect, test } from 'vitest'

import type { Command } from '@/protocol'

import { CommandError, isRetryable } from '..'
import { hello, Scene, settle } from './fakes'

const say = (payload: string, ref?: string): Command => ({
  type: 'message',
  channel_id: 1,
  payload,
  ...(ref === undefined ? {} : { ref }),
})

/** How a promise went, without waiting for it. */
function watch(promise: Promise<unknown>): { outcome: unknown } {
  const watched: { outcome: unknown } = { outcome: 'pending' }
  promise.then(
    (value) => (watched.outcome = value),
    (error: unknown) => (watched.outcome = error),
  )
  return watched
}

async function refs(scene: Scene): Promise<(string | null | undefined)[]> {
  await settle()
  return scene.socket.sent.map((command) => command.ref)
}

test('a command is answered by what has its ref', async () => {
  const scene = new Scene()
  await scene.begin()
  const first = watch(scene.client.command(say('a', 'r-1')))
  const second = watch(scene.client.command(say('b', 'r-2')))
  const ack = { type: 'ack', ref: 'r-2', channel_id: 1, id: 7, seq: 9 }
  scene.socket.says(ack, ack, { type: 'ack', ref: 'nobody' })
  scene.socket.says({ type: 'error', code: 'forbidden', message: 'No.', ref: 'r-1' })
  await settle()
  expect(second.outcome).toEqual(ack)
  expect(first.outcome).toEqual(new CommandError('forbidden', 'No.'))
  expect(scene.events).toEqual([])
})

test('a command without a ref is given one, each its own', async () => {
  const scene = new Scene()
  await scene.begin()
  for (const text of ['a', 'b']) void scene.client.command(say(text))
  const [one, two] = await refs(scene)
  expect(one).toBeTruthy()
  expect(two).toBeTruthy()
  expect(one).not.toBe(two)
})

test('a ref that is under way is not sent twice', async () => {
  const scene = new Scene()
  await scene.begin()
  void scene.client.command(say('a', 'r'))
  await expect(scene.client.command(say('a', 'r'))).rejects.toMatchObject({
    code: 'invalid_command',
  })
  expect(await refs(scene)).toEqual(['r'])
})

test('what needs a connection fails without one, and can be tried again', async () => {
  const scene = new Scene()
  await expect(scene.client.command(say('a'))).rejects.toMatchObject({ code: 'unavailable' })
  scene.client.start()
  await expect(scene.client.command(say('a'))).rejects.toMatchObject({ code: 'unavailable' })
  scene.client.typing(1)
  scene.client.read(1, 4)
  await settle()
  scene.socket.says(hello())
  expect(scene.socket.sent).toEqual([])
})

test('commands under way when the connection breaks fail, and can be tried again', async () => {
  const scene = new Scene()
  await scene.begin()
  const { client } = scene
  const lost = [watch(client.command(say('a', 'r-1'))), watch(client.command(say('b', 'r-2')))]
  scene.socket.ends()
  await settle()
  for (const { outcome } of lost) {
    expect(outcome).toBeInstanceOf(CommandError)
    expect(outcome).toMatchObject({ code: 'unavailable' })
  }
  await scene.again()
  const again = watch(client.command(say('a', 'r-1')))
  scene.socket.says({ type: 'ack', ref: 'r-1' })
  await settle()
  expect(again.outcome).toMatchObject({ ref: 'r-1' })
})

test('the codes that may pass are these', () => {
  expect(['unavailable', 'rate_limited', 'internal'].map(isRetryable)).toEqual([true, true, true])
  expect(['forbidden', 'not_found', 'invalid_command'].some(isRetryable)).toBe(false)
})

test('typing and reading are said without a ref', async () => {
  const scene = new Scene()
  await scene.begin()
  scene.client.typing(1)
  scene.client.read(1, 12)
  expect(scene.socket.sent).toEqual([
    { type: 'typing', channel_id: 1 },
    { type: 'read', channel_id: 1, seq: 12 },
  ])
})

test('commands are sent no faster than the server allows, in their order', async () => {
  const scene = new Scene()
  await scene.begin()
  const sent = Array.from({ length: 100 }, (_, index) => `r-${index}`)
  for (const ref of sent) void scene.client.command(say('x', ref)).catch(() => undefined)
  // Of the burst of 60, a few are kept.
  expect(await refs(scene)).toEqual(sent.slice(0, 55))
  await scene.world.pass(1_000)
  expect(await refs(scene)).toEqual(sent.slice(0, 75))
  await scene.world.pass(2_000)
  expect(await refs(scene)).toEqual(sent)
})

test('what a person waits for goes before subscribes, and subscribes that are void do not go', async () => {
  const scene = new Scene()
  await scene.begin()
  for (let index = 0; index < 55; index++)
    void scene.client.command(say('x')).catch(() => undefined)
  for (const channel of [1, 2, 3]) scene.client.subscribe(channel, 0)
  scene.client.unsubscribe(2)
  scene.client.subscribe(3, 7)
  void scene.client.command(say('urgent', 'u')).catch(() => undefined)
  await scene.world.pass(1_000)
  expect(scene.socket.sent.slice(55)).toMatchObject([
    { ref: 'u' },
    { type: 'subscribe', channel_id: 1 },
    { type: 'unsubscribe', channel_id: 2 },
    { type: 'subscribe', channel_id: 3, since: 7 },
  ])
})

test('of what nobody waits for, only the latest waits for its turn', async () => {
  const scene = new Scene()
  await scene.begin({ limits: { ...hello().limits, commands_burst: 1, commands_per_second: 1 } })
  scene.client.read(1, 1)
  for (let seq = 2; seq <= 2_000; seq++) {
    scene.client.read(1, seq)
    scene.client.typing(1)
  }
  scene.client.read(2, 5)
  await scene.world.pass(10_000)
  expect(scene.socket.sent).toEqual([
    { type: 'read', channel_id: 1, seq: 1 },
    { type: 'read', channel_id: 1, seq: 2_000 },
    { type: 'typing', channel_id: 1 },
    { type: 'read', channel_id: 2, seq: 5 },
  ])
})

test('more than waits in half a minute is refused, and can be tried again', async () => {
  const scene = new Scene()
  await scene.begin()
  const all = Array.from({ length: 556 }, () => watch(scene.client.command(say('x'))))
  await settle()
  expect(all.filter(({ outcome }) => outcome !== 'pending')).toHaveLength(1)
  expect(all.at(-1)?.outcome).toMatchObject({ code: 'rate_limited', retryAfterMs: 1_000 })
})

test('rate_limited makes everything wait, for as long as the server says', async () => {
  const scene = new Scene()
  await scene.begin()
  const asked = watch(scene.client.command(say('a', 'r-1')))
  const limited = { type: 'error', code: 'rate_limited', message: 'Slowly.' }
  scene.socket.says({ ...limited, ref: 'r-1', retry_after_ms: 4_000 })
  await settle()
  expect(asked.outcome).toEqual(new CommandError('rate_limited', 'Slowly.', 4_000))
  void scene.client.command(say('b', 'r-2')).catch(() => undefined)
  await scene.world.pass(3_999)
  expect(await refs(scene)).toEqual(['r-1'])
  await scene.world.pass(1)
  expect(await refs(scene)).toEqual(['r-1', 'r-2'])
  scene.socket.says(limited)
  void scene.client.command(say('c', 'r-3')).catch(() => undefined)
  await scene.world.pass(999)
  expect(await refs(scene)).toEqual(['r-1', 'r-2'])
  await scene.world.pass(1)
  expect(await refs(scene)).toEqual(['r-1', 'r-2', 'r-3'])
})

test('a ping waits for nobody', async () => {
  const scene = new Scene()
  await scene.begin()
  for (let index = 0; index < 60; index++)
    void scene.client.command(say('x')).catch(() => undefined)
  scene.world.happens('visible')
  expect(scene.socket.sent.at(-1)).toEqual({ type: 'ping' })
})

test('what the server would close the connection for is not sent', async () => {
  const scene = new Scene()
  await scene.begin({ limits: { ...hello().limits, frame_bytes: 200 } })
  await expect(scene.client.command(say('ä'.repeat(100)))).rejects.toMatchObject({
    code: 'payload_too_large',
  })
  expect(scene.socket.sent).toEqual([])
  void scene.client.command(say('ä'.repeat(40), 'r')).catch(() => undefined)
  expect(await refs(scene)).toEqual(['r'])
})
