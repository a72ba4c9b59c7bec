import { beforeEach, describe, expect, it, vi } from 'vitest'

import { useChannelsStore } from '../channels'
import { useMessagesStore } from '../messages'
import { answer, FakeServer, frame, newBrowser, newPage, settle } from './fakes'
import { client, logIn, outbox, payloads } from './harness'

vi.mock('@/realtime', async () => (await import('./fakes')).fakeRealtime)

const PAGES = 'GET /channels/:id/messages'
let server: FakeServer

beforeEach(() => {
  newBrowser()
  server = new FakeServer()
})

function withMessages(count: number): void {
  const log = server.add(1)
  for (let n = 1; n <= count; n++) log.say('bob', `${n}`)
}

async function opened(count: number) {
  withMessages(count)
  await logIn()
  const messages = useMessagesStore()
  useChannelsStore().activeId = 1
  await messages.open(1)
  return { messages, view: messages.timeline(1) }
}

describe('live events', () => {
  it('are gathered: the page sees one change a frame', async () => {
    const { view } = await opened(1)
    const before = view.rows
    for (let n = 0; n < 50; n++) client().event(server.log(1).say('bob', `live ${n}`))
    expect(view.rows).toBe(before)
    await frame()
    expect(view.rows).toHaveLength(51)
    expect(view.newestSeq).toBe(51)
  })

  it('of a channel that was never opened are not kept', async () => {
    withMessages(1)
    await logIn()
    client().event(server.log(1).say('bob', '2'))
    await frame()
    expect(payloads()).toEqual([])
    await useMessagesStore().open(1)
    expect(payloads()).toEqual(['1', '2'])
  })

  it('of a channel that nobody looks at keep its newest rows only', async () => {
    const { view } = await opened(10)
    useChannelsStore().activeId = null
    await settle()
    for (let n = 0; n < 600; n++) client().event(server.log(1).say('bob', `live ${n}`))
    await frame()
    expect(view.rows.length).toBeLessThanOrEqual(250)
    expect(view.rows.at(-1)?.payload).toBe('live 599')
    expect(view.reachedStart).toBe(false)
  })

  it('end the sight of somebody writing', async () => {
    const { useTypingStore } = await import('../typing')
    await opened(1)
    client().event({ type: 'typing', channel_id: 1, user_id: 'bob', expires_in_ms: 6000 })
    expect(useTypingStore().typing(1)).toEqual(['bob'])
    client().event(server.log(1).say('bob', 'done'))
    expect(useTypingStore().typing(1)).toEqual([])
  })

  it('keep 20,000 rows at most', async () => {
    const { messages, view } = await opened(1)
    for (let n = 0; n < 20_200; n++) client().event(server.log(1).say('bob', ''))
    await frame()
    expect(view.rows.length).toBeLessThanOrEqual(20_000)
    expect(view.rows.length).toBeGreaterThan(19_000)
    expect(view.rows.at(-1)?.seq).toBe(20_201)
    // As many as fit are loaded from above, no more.
    for (let n = 0; n < 20; n++) await messages.loadOlder(1)
    expect(view.rows.length).toBeLessThanOrEqual(20_000)
  })
})

describe('a reset', () => {
  it('drops what was kept and loads the newest page, and what waits stays', async () => {
    const { messages, view } = await opened(3)
    await messages.send(1, 'waits')
    const restored = server.add(1)
    restored.say('bob', 'restored')
    client().reset(1)
    await settle()
    await frame()
    expect(view.rows.map(({ payload, state }) => `${payload} ${state}`)).toEqual([
      'restored sent',
      'waits pending',
    ])
    expect(view).toMatchObject({ phase: 'ready', newestSeq: 1, firstUnreadSeq: null })
  })

  it('makes a page void that was asked for before', async () => {
    const { messages, view } = await opened(60)
    server.hold(PAGES)
    const loading = messages.loadOlder(1)
    await settle()
    const restored = server.add(1)
    restored.say('bob', 'restored')
    client().reset(1)
    await settle()
    await server.release(PAGES)
    await loading
    await frame()
    expect(payloads()).toEqual(['restored'])
    expect(view.loadingOlder).toBe(false)
  })

  it('shows when the newest page does not come', async () => {
    const { view } = await opened(3)
    server.on(PAGES, () => answer(503, { code: 'unavailable', message: '' }))
    client().reset(1)
    await settle()
    expect(view).toMatchObject({ phase: 'error', error: { code: 'unavailable' } })
  })

  it('asks for nothing in a channel that was never opened', async () => {
    withMessages(3)
    await logIn()
    client().reset(1)
    await settle()
    expect(server.calls.filter((call) => call.includes('messages'))).toEqual([])
  })
})

describe('a gap that is filled from history', () => {
  it('brings reactions too, and reads what was before it anew', async () => {
    const { view } = await opened(3)
    const log = server.log(1)
    log.edit(0, 'edited in the gap')
    const missed = [log.say('bob', '4'), log.say('bob', '5')]
    log.react(4, 'ann', '👍')
    const page = await client().options.history(1, 3, 200)
    client().event(...missed)
    await settle()
    await frame()
    expect(page).toHaveLength(2)
    expect(payloads()).toEqual(['edited in the gap', '2', '3', '4', '5'])
    expect(view.rows.at(-1)?.reactions).toEqual([{ emoji: '👍', user_ids: ['ann'] }])
  })

  it('forgets what is too old to be read anew in one page', async () => {
    const { messages, view } = await opened(400)
    for (let n = 0; n < 4; n++) await messages.loadOlder(1)
    expect(view.reachedStart).toBe(true)
    server.log(1).say('bob', 'missed')
    await client().options.history(1, 400, 200)
    await settle()
    await frame()
    expect(payloads()).toHaveLength(201)
    expect(view.reachedStart).toBe(false)
  })

  it('is read anew once for all its pages', async () => {
    await opened(3)
    for (let n = 0; n < 10; n++) server.log(1).say('bob', 'missed')
    await client().options.history(1, 3, 5)
    await client().options.history(1, 8, 5)
    await settle()
    expect(server.calls.filter((call) => call.includes('before='))).toHaveLength(1)
  })

  it('is only handed on for a channel that is not open', async () => {
    withMessages(3)
    await logIn()
    server.log(1).say('bob', '4')
    expect(await client().options.history(1, 3, 5)).toHaveLength(1)
    expect(payloads()).toEqual([])
  })
})

describe("one's own messages", () => {
  it('stand there at once, and are sent by the ack', async () => {
    const { messages, view } = await opened(1)
    await messages.send(1, 'mine')
    await frame()
    expect(view.rows[1]).toMatchObject({ payload: 'mine', state: 'pending', key: 'ref-1' })
    const event = server.log(1).say('me', 'mine')
    client().answer = () =>
      Promise.resolve({ type: 'ack', ref: 'ref-1', channel_id: 1, id: event.id, seq: event.seq })
    await outbox().deliver()
    await frame()
    expect(view.rows[1]).toMatchObject({ state: 'sent', key: 'ref-1', seq: 2 })
    client().event(event)
    await frame()
    expect(view.rows).toHaveLength(2)
    expect(client().commands).toEqual([
      { type: 'message', channel_id: 1, payload: 'mine', ref: 'ref-1' },
    ])
  })

  it('are sent once when the event comes first', async () => {
    const { messages, view } = await opened(1)
    await messages.send(1, 'mine')
    const event = server.log(1).say('me', 'mine')
    client().event(event)
    await frame()
    expect(view.rows.map(({ key, state }) => `${key} ${state}`)).toEqual(['s1 sent', 'ref-1 sent'])
    client().answer = () =>
      Promise.resolve({ type: 'ack', ref: 'ref-1', channel_id: 1, id: event.id, seq: event.seq })
    await outbox().deliver()
    await frame()
    expect(view.rows).toHaveLength(2)
  })

  it('are shown as pending after a reload, also in a channel that was never opened', async () => {
    const { messages } = await opened(1)
    await messages.send(1, 'offline')
    newPage()
    await logIn()
    expect(useMessagesStore().timeline(1).rows).toMatchObject([
      { payload: 'offline', state: 'pending' },
    ])
    await useMessagesStore().open(1)
    expect(payloads()).toEqual(['1', 'offline'])
  })

  it('show why they were refused, and are tried again or given up', async () => {
    const { messages, view } = await opened(1)
    await messages.send(1, 'too long')
    const refusal = Object.assign(new Error('Too long.'), { code: 'payload_too_large' })
    client().answer = () => Promise.reject(refusal)
    await outbox().deliver()
    await frame()
    expect(view.rows[1]).toMatchObject({
      state: 'failed',
      error: { code: 'payload_too_large', message: 'Too long.' },
    })
    await messages.retry('ref-1')
    await frame()
    expect(view.rows[1]).toMatchObject({ state: 'pending' })
    expect(view.rows[1]?.error).toBeUndefined()
    await messages.discard('ref-1')
    await frame()
    expect(payloads()).toEqual(['1'])
  })
})

describe('changes of messages', () => {
  it('are commands, and their events change the rows', async () => {
    const { messages } = await opened(1)
    await messages.edit(1, 1000, 'better')
    await messages.remove(1, 1000)
    await messages.react(1, 1000, '👍')
    await messages.unreact(1, 1000, '👍')
    expect(client().commands).toEqual([
      { type: 'edit', channel_id: 1, message_id: 1000, payload: 'better' },
      { type: 'delete', channel_id: 1, message_id: 1000 },
      { type: 'react', channel_id: 1, message_id: 1000, emoji: '👍' },
      { type: 'unreact', channel_id: 1, message_id: 1000, emoji: '👍' },
    ])
    expect(payloads()).toEqual(['1'])
    client().event(server.log(1).edit(0, 'better'))
    await frame()
    expect(payloads()).toEqual(['better'])
  })

  it('fail with the code of the server', async () => {
    const { messages } = await opened(1)
    const refusal = Object.assign(new Error('No.'), { code: 'forbidden', retryAfterMs: 500 })
    client().answer = () => Promise.reject(refusal)
    await expect(messages.edit(1, 1000, 'x')).rejects.toMatchObject({
      name: 'ApiError',
      code: 'forbidden',
      retryAfterMs: 500,
    })
  })

  it('begin with the newest own message', async () => {
    const { messages } = await opened(1)
    expect(messages.lastOwn(1)).toBeNull()
    client().event(server.log(1).say('me', 'mine'), server.log(1).say('bob', 'later'))
    expect(messages.lastOwn(1)?.payload).toBe('mine')
    expect(messages.lastOwn(7)).toBeNull()
  })
})
