import { describe, expect, it } from 'vitest'

import { TimelineRows } from '../timelineRows'
import { entryOf, messagesOf, messagesOfPage, randomOf, ServerLog } from './log'

function setUp(said = 5) {
  const log = new ServerLog()
  for (let n = 1; n <= said; n++) log.say('bob', `${n}`)
  const rows = new TimelineRows('me')
  rows.begin(log.page(), rows.watch(), true)
  return { log, rows }
}

const payloads = (rows: TimelineRows): string[] => rows.rows().map(({ payload }) => payload)

describe('the rows of a channel', () => {
  it('stand in the order of the log, whatever has come first', () => {
    const log = new ServerLog()
    for (let n = 1; n <= 4; n++) log.say('bob', `${n}`)
    const rows = new TimelineRows('me')
    const events = rows.watch()
    const page = log.page({ limit: 3 })
    rows.apply(log.say('bob', '5'))
    rows.begin(page, events, false)
    rows.merge(log.page({ before: 2 }), rows.watch())
    expect(payloads(rows)).toEqual(['1', '2', '3', '4', '5'])
  })

  it('have no double where a page and the events overlap', () => {
    const log = new ServerLog()
    const rows = new TimelineRows('me')
    const events = rows.watch()
    const first = log.say('bob', 'one')
    const page = log.page()
    rows.apply(first)
    rows.begin(page, events, true)
    rows.apply(first)
    expect(payloads(rows)).toEqual(['one'])
  })

  it('ignore a change of a message that is not loaded, and its page has it', () => {
    const log = new ServerLog()
    for (let n = 1; n <= 4; n++) log.say('bob', `${n}`)
    const rows = new TimelineRows('me')
    rows.begin(log.page({ limit: 2 }), rows.watch(), false)
    rows.apply(log.edit(0, 'edited'))
    rows.apply(log.react(1, 'bob', '👍'))
    rows.apply(log.delete(1))
    expect(payloads(rows)).toEqual(['3', '4'])
    rows.merge(log.page({ before: 3 }), rows.watch())
    expect(payloads(rows)).toEqual(['edited', '', '3', '4'])
  })

  it('keep a change that overtook the page that is older than it', () => {
    const { log, rows } = setUp(2)
    const events = rows.watch()
    const page = log.page()
    rows.apply(log.edit(0, 'edited'))
    rows.apply(log.react(1, 'ann', '👍'))
    rows.apply(log.delete(1))
    rows.merge(page, events)
    expect(messagesOf(rows.rows())).toEqual(messagesOfPage(log.page()))
  })

  it('apply a change that came before the message did, to the page that brings it', () => {
    const log = new ServerLog()
    for (let n = 1; n <= 4; n++) log.say('bob', `${n}`)
    const rows = new TimelineRows('me')
    rows.begin(log.page({ limit: 2 }), rows.watch(), false)
    const events = rows.watch()
    const page = log.page({ before: 3 })
    rows.apply(log.edit(0, 'edited on the way'))
    rows.merge(page, events)
    expect(payloads(rows)).toEqual(['edited on the way', '2', '3', '4'])
  })

  it('do not take back what a replayed message says in an older form', () => {
    const { log, rows } = setUp(0)
    const said = log.say('bob', 'first')
    log.edit(0, 'second')
    rows.merge(log.page(), rows.watch())
    rows.apply(said)
    expect(payloads(rows)).toEqual(['second'])
  })

  it('drop events that are older than the oldest page: they would leave a hole', () => {
    const log = new ServerLog()
    const old = log.say('bob', 'old')
    for (let n = 1; n <= 5; n++) log.say('bob', `${n}`)
    const rows = new TimelineRows('me')
    const events = rows.watch()
    rows.apply(old)
    rows.begin(log.page({ limit: 2 }), events, false)
    expect(payloads(rows)).toEqual(['4', '5'])
    rows.apply(old)
    expect(payloads(rows)).toEqual(['4', '5'])
  })

  it('hold notices at their place', () => {
    const { log, rows } = setUp(1)
    const joined = log.joined('ann')
    rows.apply(joined)
    rows.apply(joined)
    rows.apply(log.say('ann', 'hello'))
    expect(rows.rows().map(({ kind, key }) => `${kind} ${key}`)).toEqual([
      'message s1',
      'notice s2',
      'message s3',
    ])
  })

  it('replace a row that changes and leave the others as they are', () => {
    const { log, rows } = setUp(3)
    const before = rows.rows()
    rows.apply(log.react(1, 'ann', '👍'))
    const after = rows.rows()
    expect(after[0]).toBe(before[0])
    expect(after[1]).not.toBe(before[1])
    expect(after[2]).toBe(before[2])
  })

  it('take a reaction once, and its end', () => {
    const { log, rows } = setUp(1)
    const added = log.react(0, 'ann', '👍')
    rows.apply(added)
    rows.apply(added)
    rows.apply(log.react(0, 'bob', '👍'))
    expect(rows.row(1000)?.reactions).toEqual([{ emoji: '👍', user_ids: ['ann', 'bob'] }])
    rows.apply(log.unreact(0, 'ann', '👍'))
    rows.apply(log.unreact(0, 'bob', '👍'))
    expect(rows.row(1000)?.reactions).toEqual([])
  })

  it('find the newest own message that is not deleted', () => {
    const { log, rows } = setUp(0)
    rows.apply(log.say('me', 'first'))
    rows.apply(log.say('me', 'second'))
    rows.apply(log.say('bob', 'third'))
    expect(rows.lastOf('me')?.payload).toBe('second')
    rows.apply(log.delete(1))
    expect(rows.lastOf('me')?.payload).toBe('first')
    expect(rows.lastOf('nobody')).toBeNull()
  })

  it('forget the oldest beyond a bound, and take no event of theirs', () => {
    const { log, rows } = setUp(10)
    expect(rows.trim(20)).toBe(false)
    expect(rows.trim(3)).toBe(true)
    rows.apply(log.edit(0, 'edited'))
    expect(payloads(rows)).toEqual(['8', '9', '10'])
    expect(rows.oldestSeq).toBe(8)
    expect(rows.row(1000)).toBeUndefined()
  })
})

describe("one's own messages", () => {
  it('stand last until they are sent', () => {
    const { log, rows } = setUp(1)
    rows.put(entryOf('a', 'mine'))
    rows.apply(log.say('bob', 'later'))
    expect(rows.rows().map(({ payload, state }) => `${payload} ${state}`)).toEqual([
      '1 sent',
      'later sent',
      'mine pending',
    ])
  })

  it('become sent by the ack, and the event adds nothing', () => {
    const { log, rows } = setUp(1)
    rows.put(entryOf('a', 'mine'))
    const event = log.say('me', 'mine')
    rows.acked('a', event.id, event.seq)
    const [, row] = rows.rows()
    expect(row).toMatchObject({ key: 'a', state: 'sent', seq: 2, id: event.id })
    rows.apply(event)
    expect(rows.rows()).toHaveLength(2)
    expect(rows.rows()[1]).toMatchObject({ key: 'a', created_at: event.sent_at })
  })

  it('become sent by the event, and the ack adds nothing', () => {
    const { log, rows } = setUp(1)
    rows.put(entryOf('a', 'mine'))
    const event = log.say('me', 'mine')
    rows.apply(event)
    expect(rows.rows()[1]).toMatchObject({ key: 'a', state: 'sent', seq: 2 })
    rows.acked('a', event.id, event.seq)
    rows.put(entryOf('a', 'mine'))
    expect(rows.rows()).toHaveLength(2)
  })

  it('take their place before what came first', () => {
    const { log, rows } = setUp(1)
    rows.put(entryOf('a', 'mine'))
    const event = log.say('me', 'mine')
    const later = log.say('bob', 'later')
    rows.apply(later)
    rows.acked('a', event.id, event.seq)
    expect(payloads(rows)).toEqual(['1', 'mine', 'later'])
  })

  it('give a row back that was of another device', () => {
    const { log, rows } = setUp(0)
    rows.put(entryOf('a', 'ok'))
    const elsewhere = log.say('me', 'ok')
    rows.apply(elsewhere)
    const here = log.say('me', 'ok')
    rows.acked('a', here.id, here.seq)
    expect(rows.rows().map(({ key, seq }) => `${key} ${seq}`)).toEqual(['s1 1', 'a 2'])
    rows.apply(here)
    expect(rows.rows()).toHaveLength(2)
  })

  it('are shown as failed even if another device said the same', () => {
    const { log, rows } = setUp(0)
    rows.put(entryOf('a', 'ok'))
    rows.apply(log.say('me', 'ok'))
    const error = { code: 'banned', message: 'You are banned.' }
    rows.put(entryOf('a', 'ok', { state: 'failed', error }))
    expect(rows.rows().map(({ key, state }) => `${key} ${state}`)).toEqual(['s1 sent', 'a failed'])
    expect(rows.rows()[1]?.error).toEqual(error)
    rows.gone('a')
    expect(payloads(rows)).toEqual(['ok'])
  })

  it('do not stand twice when the page has them already', () => {
    const log = new ServerLog()
    const event = log.say('me', 'mine')
    log.say('bob', 'later')
    const rows = new TimelineRows('me')
    rows.put(entryOf('a', 'mine'))
    rows.begin(log.page(), rows.watch(), true)
    expect(payloads(rows)).toEqual(['mine', 'later', 'mine'])
    rows.acked('a', event.id, event.seq)
    expect(payloads(rows)).toEqual(['mine', 'later'])
  })

  it('wait for the page when the ack is quicker', () => {
    const log = new ServerLog()
    const event = log.say('me', 'old')
    for (let n = 1; n <= 5; n++) log.say('bob', `${n}`)
    const rows = new TimelineRows('me')
    rows.put(entryOf('a', 'old'))
    const events = rows.watch()
    rows.acked('a', event.id, event.seq)
    rows.gone('a')
    expect(payloads(rows)).toEqual(['old'])
    rows.begin(log.page({ limit: 2 }), events, false)
    expect(payloads(rows)).toEqual(['4', '5'])
  })

  it('stay when everything else is void', () => {
    const { rows } = setUp(3)
    rows.put(entryOf('a', 'mine'))
    rows.reset()
    expect(payloads(rows)).toEqual(['mine'])
    expect(rows.newestSeq).toBe(0)
  })
})

/**
 * A server, a network that delays, and a user who scrolls, opens, and sends. Events arrive in
 * order, pages and acks whenever they like.
 */
function story(seed: number): { rows: TimelineRows; log: ServerLog } {
  const random = randomOf(seed)
  const log = new ServerLog()
  for (let n = random(30); n > 0; n--) log.say('bob', `before ${n}`)
  const rows = new TimelineRows('me')
  let delivered = log.head
  const inFlight: (() => void)[] = []
  let based = false
  let older = false
  let sends = 0
  let said = log.page({ limit: 200 }).length

  const askNewest = (): void => {
    const events = rows.watch()
    const limit = 1 + random(8)
    // The server reads the page some time after it was asked for.
    inFlight.push(() => {
      const page = log.page({ limit })
      inFlight.push(() => {
        rows.begin(page, events, page.length < limit)
        based = true
      })
    })
  }
  const askOlder = (): void => {
    const before = rows.oldestSeq
    if (!based || older || before === null) return
    older = true
    const events = rows.watch()
    inFlight.push(() => {
      const page = log.page({ before, limit: 5 })
      inFlight.push(() => {
        older = false
        if (rows.oldestSeq === before) rows.merge(page, events)
        else rows.unwatch(events)
      })
    })
  }
  const send = (): void => {
    sends += 1
    const ref = `ref ${sends}`
    // Few texts, so that many are the same.
    const payload = `mine ${random(3)}`
    rows.put(entryOf(ref, payload))
    inFlight.push(() => {
      const { id, seq } = log.say('me', payload)
      said += 1
      inFlight.push(() => {
        rows.acked(ref, id, seq)
        rows.gone(ref)
      })
    })
  }
  const happen = (): void => {
    const which = said === 0 ? 0 : random(6)
    const index = said === 0 ? 0 : random(said)
    if (which <= 1) {
      log.say(random(4) === 0 ? 'me' : 'bob', `mine ${random(3)}`)
      said += 1
    } else if (which === 2) {
      if (!isDeleted(log, index)) log.edit(index, `edited ${log.head}`)
    } else if (which === 3) {
      if (!isDeleted(log, index)) log.delete(index)
    } else if (which === 4) {
      if (!isDeleted(log, index) && !reacted(log, index)) log.react(index, 'ann', '👍')
    } else if (reacted(log, index)) {
      log.unreact(index, 'ann', '👍')
    }
  }
  const deliver = (): void => {
    const event = log.events[delivered]
    if (!event) return
    delivered += 1
    rows.apply(event)
  }

  askNewest()
  const steps = [happen, happen, deliver, deliver, deliver, send, askOlder]
  for (let n = 0; n < 150; n++) {
    const step = random(steps.length + 4)
    if (step < steps.length) (steps[step] as () => void)()
    else if (inFlight.length > 0) inFlight.splice(random(inFlight.length), 1)[0]?.()
    if (random(60) === 0) rows.trim(random(10) + 1)
  }
  while (inFlight.length > 0) inFlight.shift()?.()
  while (delivered < log.head) deliver()
  return { rows, log }
}

function isDeleted(log: ServerLog, index: number): boolean {
  return log.page({ limit: 10_000 }).reverse()[index]?.deleted ?? true
}

function reacted(log: ServerLog, index: number): boolean {
  return (log.page({ limit: 10_000 }).reverse()[index]?.reactions.length ?? 0) > 0
}

describe('pages, events and acks in any order', () => {
  it('end in the rows of the plain log', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const { rows, log } = story(seed)
      const all = log.page({ limit: 10_000 })
      const from = rows.oldestSeq ?? Infinity
      const expected = messagesOfPage(all.filter(({ seq }) => seq >= from))
      expect(messagesOf(rows.rows()), `seed ${seed}`).toEqual(expected)
      // Nothing waits that the server has, and every key is there once.
      expect(rows.rows().every(({ state }) => state === 'sent')).toBe(true)
      expect(new Set(rows.rows().map(({ key }) => key)).size).toBe(expected.length)
    }
  })
})
