import { beforeEach, describe, expect, it, vi } from 'vitest'

import { useChannelsStore } from '../channels'
import { useMessagesStore } from '../messages'
import { answer, FakeServer, frame, newBrowser, settle } from './fakes'
import { messagesOf, messagesOfPage } from './log'
import { client, logIn, payloads } from './harness'

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

describe('opening a channel', () => {
  it('shows the newest page, and says that there is more', async () => {
    const { view } = await opened(60)
    expect(view.phase).toBe('ready')
    expect(payloads()).toHaveLength(50)
    expect(view.rows[0]?.payload).toBe('11')
    expect(view.reachedStart).toBe(false)
    expect(view.newestSeq).toBe(60)
  })

  it('knows when the page is all there is', async () => {
    const { view } = await opened(3)
    expect(view.reachedStart).toBe(true)
  })

  it('receives the channel from what the list told, before the page is asked for', async () => {
    withMessages(3)
    await logIn()
    expect(client().subscribed.get(1)).toBe(3)
  })

  it('takes what comes while the page is on its way, once', async () => {
    withMessages(2)
    await logIn()
    const messages = useMessagesStore()
    server.hold(PAGES)
    const opening = messages.open(1)
    await settle()
    // The page was read before these: one of them changes it.
    client().event(server.log(1).say('bob', '3'), server.log(1).edit(0, 'edited'))
    expect(messages.timeline(1).phase).toBe('loading')
    await server.release(PAGES)
    await opening
    expect(payloads()).toEqual(['edited', '2', '3'])
  })

  it('takes what the page has and the connection brings later, once', async () => {
    withMessages(2)
    await logIn()
    const late = server.log(1).say('bob', '3')
    await useMessagesStore().open(1)
    client().event(late)
    await frame()
    expect(payloads()).toEqual(['1', '2', '3'])
  })

  it('shows why it failed, and can be tried again', async () => {
    withMessages(2)
    await logIn()
    const messages = useMessagesStore()
    server.on(PAGES, () => answer(503, { code: 'unavailable', message: 'Later.' }))
    await messages.open(1)
    expect(messages.timeline(1)).toMatchObject({ phase: 'error', error: { code: 'unavailable' } })
    server.on(PAGES, () => server.log(1).page())
    await messages.open(1)
    expect(messages.timeline(1)).toMatchObject({ phase: 'ready', error: null })
    expect(payloads()).toEqual(['1', '2'])
  })

  it('does not ask again for what is kept up to date', async () => {
    const { messages } = await opened(3)
    const before = server.calls.length
    useChannelsStore().activeId = null
    client().event(server.log(1).say('bob', '4'))
    await messages.open(1)
    await frame()
    expect(server.calls).toHaveLength(before)
    expect(payloads()).toEqual(['1', '2', '3', '4'])
  })

  it('asks once when it is opened twice', async () => {
    withMessages(3)
    await logIn()
    const messages = useMessagesStore()
    await Promise.all([messages.open(1), messages.open(1)])
    expect(server.count('GET /channels/1/messages?limit=50')).toBe(1)
  })

  it('looks at a public channel without being in it, as long as it is open', async () => {
    withMessages(2)
    server.change(1, { role: null })
    await logIn()
    const channels = useChannelsStore()
    channels.activeId = 1
    await useMessagesStore().open(1)
    expect(payloads()).toEqual(['1', '2'])
    expect(client().subscribed.get(1)).toBe(2)
    channels.activeId = null
    await settle()
    expect(client().unsubscribed).toEqual([1])
    expect(payloads()).toEqual([])
  })

  it('tells that a channel does not exist', async () => {
    await logIn()
    await useMessagesStore().open(99)
    expect(useMessagesStore().timeline(99)).toMatchObject({
      phase: 'error',
      error: { code: 'not_found' },
    })
  })
})

describe('the line of what is new', () => {
  it('stands at the first unread message of somebody else', async () => {
    const log = server.add(1)
    log.say('bob', 'read')
    log.say('me', 'mine')
    log.say('bob', 'new')
    server.change(1, { read_seq: 1, unread: 1 })
    await logIn()
    await useMessagesStore().open(1)
    expect(useMessagesStore().timeline(1).firstUnreadSeq).toBe(3)
  })

  it('is not there when all is read', async () => {
    const { view } = await opened(3)
    expect(view.firstUnreadSeq).toBeNull()
  })

  it('is on the page when little is unread, and above it when much is', async () => {
    withMessages(400)
    server.change(1, { read_seq: 300, unread: 100 })
    await logIn()
    const messages = useMessagesStore()
    await messages.open(1)
    expect(messages.timeline(1)).toMatchObject({ firstUnreadSeq: 301 })
    expect(payloads()).toHaveLength(110)

    newBrowser()
    server.change(1, { read_seq: 50, unread: 350 })
    await logIn()
    await useMessagesStore().open(1)
    expect(useMessagesStore().timeline(1).firstUnreadSeq).toBe(51)
    expect(payloads()[0]).toBe('201')
  })
})

describe('older messages', () => {
  it('are put before the others, up to the first', async () => {
    const { messages, view } = await opened(170)
    await messages.loadOlder(1)
    expect(payloads()).toHaveLength(150)
    expect(view.reachedStart).toBe(false)
    await messages.loadOlder(1)
    expect(payloads()).toEqual(Array.from({ length: 170 }, (_, n) => `${n + 1}`))
    expect(view.reachedStart).toBe(true)
    const before = server.calls.length
    await messages.loadOlder(1)
    expect(server.calls).toHaveLength(before)
  })

  it('are not undone by a page that is older than an event', async () => {
    const { messages } = await opened(60)
    server.hold(PAGES)
    const loading = messages.loadOlder(1)
    await settle()
    client().event(server.log(1).delete(5))
    await server.release(PAGES)
    await loading
    expect(messagesOf(messages.timeline(1).rows)).toEqual(
      messagesOfPage(server.log(1).page({ limit: 100 })),
    )
  })

  it('are asked for once at a time', async () => {
    const { messages, view } = await opened(170)
    server.hold(PAGES)
    const loading = [messages.loadOlder(1), messages.loadOlder(1)]
    await settle()
    expect(view.loadingOlder).toBe(true)
    await server.release(PAGES)
    await Promise.all(loading)
    expect(payloads()).toHaveLength(150)
    expect(view.loadingOlder).toBe(false)
  })

  it('leave no hole when the channel was trimmed meanwhile', async () => {
    const { messages, view } = await opened(700)
    for (let n = 0; n < 3; n++) await messages.loadOlder(1)
    server.hold(PAGES)
    const loading = messages.loadOlder(1)
    await settle()
    useChannelsStore().activeId = null
    await settle()
    await server.release(PAGES)
    await loading
    await frame()
    expect(payloads()).toHaveLength(200)
    expect(payloads()[0]).toBe('501')
    expect(view.reachedStart).toBe(false)
  })

  it('can fail and be asked for again', async () => {
    const { messages, view } = await opened(60)
    server.on(PAGES, () => answer(500, { code: 'internal', message: '' }))
    await messages.loadOlder(1)
    expect(view).toMatchObject({ loadingOlder: false, phase: 'ready', error: { code: 'internal' } })
    server.on(PAGES, (url) =>
      server.log(1).page({ before: Number(url.searchParams.get('before')), limit: 100 }),
    )
    await messages.loadOlder(1)
    expect(payloads()).toHaveLength(60)
    expect(view.error).toBeNull()
  })
})
