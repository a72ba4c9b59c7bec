// @vitest-environment node
import { describe, expect, test } from 'vitest'

import { live, message, messages, range, Scene } from './fakes'

describe('receiving', () => {
  test('a subscribe says from where; without a place it is from now on', async () => {
    const scene = new Scene()
    scene.client.subscribe(1, 7)
    await scene.begin()
    scene.client.subscribe(2, null)
    expect(scene.socket.sent).toMatchObject([
      { type: 'subscribe', channel_id: 1, since: 7 },
      { type: 'subscribe', channel_id: 2 },
    ])
    expect(scene.socket.sent[1]).not.toHaveProperty('since')
    scene.socket.subscribed(2, 40)
    scene.socket.says(message(40, 2), message(41, 2))
    expect(scene.seqs(2)).toEqual([41])
  })

  test('what was missed comes first, then what happens', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 2)
    scene.socket.subscribed(1, 4)
    scene.socket.says(...messages(3, 6))
    expect(scene.seqs()).toEqual([3, 4, 5, 6])
  })

  test('a replay may leave superseded events out', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 2)
    scene.socket.subscribed(1, 9)
    scene.socket.says(message(4), message(9), message(10))
    expect(scene.seqs()).toEqual([4, 9, 10])
    expect(scene.socket.of('subscribe')).toHaveLength(1)
  })

  test('nothing comes twice', async () => {
    const scene = await live(0)
    scene.socket.says(message(1), message(1), message(2), message(1), message(2), message(3))
    expect(scene.seqs()).toEqual([1, 2, 3])
  })

  test('a hole is asked for, and what came too early waits for its turn', async () => {
    const scene = await live(3)
    scene.socket.says(message(4), message(6), message(7))
    expect(scene.seqs()).toEqual([4])
    expect(scene.socket.of('subscribe').at(-1)).toMatchObject({ since: 4 })
    expect(scene.socket.of('subscribe')).toHaveLength(2)
    scene.socket.subscribed(1, 7)
    scene.socket.says(...messages(5, 8))
    expect(scene.seqs()).toEqual([4, 5, 6, 7, 8])
  })

  test('what belongs before a hole is taken while the answer is awaited', async () => {
    const scene = await live(3)
    scene.socket.says(message(6), message(4), message(5))
    expect(scene.seqs()).toEqual([4, 5])
    scene.socket.subscribed(1, 6)
    scene.socket.says(message(4), message(5), message(6))
    expect(scene.seqs()).toEqual([4, 5, 6])
  })

  test('after a break everything goes on where it stood', async () => {
    const scene = await live(0)
    scene.client.subscribe(2, 10)
    scene.socket.subscribed(2, 10)
    scene.socket.says(...messages(1, 3), message(11, 2))
    scene.socket.ends()
    await scene.again()
    expect(scene.socket.of('subscribe')).toMatchObject([
      { channel_id: 1, since: 3 },
      { channel_id: 2, since: 11 },
    ])
    scene.socket.subscribed(1, 5)
    scene.socket.subscribed(2, 11)
    scene.socket.says(...messages(4, 6), message(12, 2))
    expect(scene.seqs()).toEqual(range(1, 6))
    expect(scene.seqs(2)).toEqual([11, 12])
    expect(scene.told).toEqual([])
  })

  test('what an old connection still says is not heard', async () => {
    const scene = await live(0)
    const late = scene.socket.onmessage
    const lateEnd = scene.socket.onclose
    await scene.world.pass(41_000)
    late?.({ data: JSON.stringify(message(1)) })
    expect(scene.seqs()).toEqual([])
    await scene.again()
    lateEnd?.({ code: 4503, reason: '' })
    expect(scene.status.kind).toBe('online')
  })

  test('a channel that is received no more delivers nothing', async () => {
    const scene = await live(0)
    scene.client.unsubscribe(1)
    expect(scene.socket.sent.at(-1)).toEqual({ type: 'unsubscribe', channel_id: 1 })
    scene.socket.says(message(1), { type: 'typing', channel_id: 1, user_id: 'b', expires_in_ms: 1 })
    scene.socket.says({ type: 'presence', channel_id: 1, online: 3 })
    expect(scene.events).toEqual([])
    scene.client.unsubscribe(1)
    expect(scene.socket.of('unsubscribe')).toHaveLength(1)
    scene.socket.ends()
    await scene.again()
    expect(scene.socket.sent).toEqual([])
  })

  test('an answer to an earlier subscribe says nothing about the later one', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 8)
    const first = scene.socket.refOf(1)
    scene.client.subscribe(1, 5)
    scene.socket.says({ type: 'subscribed', channel_id: 1, head: 10, ref: first })
    scene.socket.says(message(9), message(10))
    expect(scene.seqs()).toEqual([])
    scene.socket.subscribed(1, 10)
    scene.socket.says(...messages(6, 10))
    expect(scene.seqs()).toEqual(range(6, 10))
  })

  test('ephemeral events come as they come, of channels that are received', async () => {
    const scene = await live(0)
    const typing = { type: 'typing', channel_id: 1, user_id: 'bob', expires_in_ms: 6000 }
    const presence = { type: 'presence', channel_id: 1, online: 2, users: ['alice', 'bob'] }
    const elsewhere = { type: 'read', channel_id: 9, user_id: 'alice', seq: 4 }
    const stream = { type: 'event', subject: 'storm.deploys', payload: 1 }
    scene.socket.says(typing, presence, elsewhere, stream, { ...typing, channel_id: 9 })
    expect(scene.events).toEqual([typing, presence, elsewhere, stream])
  })

  test('an event that this client does not know counts like any other', async () => {
    const scene = await live(0)
    scene.socket.says(message(1), { type: 'poll.opened', channel_id: 1, seq: 2 }, message(3))
    expect(scene.seqs()).toEqual([1, 2, 3])
  })
})

describe('coming and going', () => {
  const left = (seq: number, user_id = 'alice') => ({
    type: 'member.left',
    channel_id: 1,
    seq,
    user_id,
    reason: 'removed',
    sent_at: '',
  })

  test.each([
    ['being removed', left(1)],
    ['the end of the channel', { type: 'channel.deleted', channel_id: 1, seq: 1, by: 'b' }],
  ])('%s is the last that one hears', async (_, event) => {
    const scene = await live(0)
    scene.socket.says(event, message(2))
    expect(scene.seqs()).toEqual([1])
    scene.socket.ends()
    await scene.again()
    expect(scene.socket.sent).toEqual([])
  })

  test('others leave without consequences', async () => {
    const scene = await live(0)
    scene.socket.says(left(1, 'bob'), message(2))
    expect(scene.seqs()).toEqual([1, 2])
  })

  test('who left and came back meanwhile is still in', async () => {
    const scene = new Scene()
    await scene.begin()
    scene.client.subscribe(1, 0)
    scene.socket.subscribed(1, 2)
    const joined = { type: 'member.joined', channel_id: 1, user_id: 'alice', role: 'member' }
    scene.socket.says(left(1), { ...joined, seq: 2 }, message(3))
    expect(scene.seqs()).toEqual([1, 2, 3])
  })

  test('an invitation is heard, though its channel is not received', async () => {
    const scene = new Scene()
    await scene.begin()
    const joined = { type: 'member.joined', channel_id: 5, seq: 9, role: 'member', by: 'bob' }
    scene.socket.says({ ...joined, user_id: 'carol' }, { ...joined, user_id: 'alice' })
    expect(scene.events).toMatchObject([{ user_id: 'alice' }])
  })
})
