import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, Person, test } from './support/test'

const MESSAGES = 10_000

test('10,000 messages are there as one scrolls up, without a jump, and only some are in the page', async ({
  gateway,
  enter,
}) => {
  test.setTimeout(240_000)
  const alice = await Person.register(gateway, 'alice')
  const lines = Array.from({ length: MESSAGES }, (_, number) => {
    const time = new Date(Date.UTC(2026, 0, 1) + number * 20_000).toISOString()
    const text = `Number ${number} ${'and some more words '.repeat(number % 7)}`.trim()
    return JSON.stringify({ time, user: `user${number % 9}`, text })
  })
  const file = join(gateway.dataDir, 'history.jsonl')
  await writeFile(file, lines.join('\n'))
  await gateway.storm('import', file, '--channel', 'archive', '--data-dir', gateway.dataDir)
  const channels = await alice.ask<{ id: number; name: string }[]>('GET', '/channels')
  const archive = channels.find(({ name }) => name === 'archive')?.id ?? 0
  await alice.join(archive)

  const { page } = await enter('alice', { path: `/c/${archive}` })
  const list = page.getByRole('log')
  await expect(page.getByText(`Number ${MESSAGES - 1}`, { exact: false }).last()).toBeVisible()

  const seen = await list.evaluate(async (log) => {
    // After a frame, not within it: as a wheel scrolls, whose event comes before sizes are told.
    const frame = () => new Promise((wake) => requestAnimationFrame(() => setTimeout(wake)))
    const rows = () => [...log.querySelectorAll<HTMLElement>('[data-message][data-seq]')]
    const seqs = new Set<number>()
    let most = 0
    const jumps: string[] = []
    let swallowed = 0
    let still = 0
    while (still < 150) {
      const now = rows()
      most = Math.max(most, now.length)
      for (const row of now) seqs.add(Number(row.dataset.seq))
      const order = now.map(({ dataset }) => Number(dataset.seq))
      if (order.some((seq, at) => at > 0 && seq <= (order[at - 1] ?? 0)))
        jumps.push(`order ${order.join(' ')}`)
      // A row that is in sight now is, after a step up, lower by that step, whatever was loaded;
      // a step in the very frame in which older rows come may be swallowed. Else it is a jump.
      const middle = now.find((row) => row.getBoundingClientRect().top > 200)
      const seq = middle?.dataset.seq
      const [top, scrolled] = [middle?.getBoundingClientRect().top ?? 0, log.scrollTop]
      const height = log.scrollHeight
      log.scrollTop = scrolled - 400
      const step = scrolled - log.scrollTop
      await frame()
      await frame()
      const after = log.querySelector(`[data-message][data-seq="${seq}"]`)
      const moved = after === null ? step : after.getBoundingClientRect().top - top
      if (Math.abs(moved) <= 3 && step > 3) swallowed += 1
      else if (Math.abs(moved - step) > 3) jumps.push(`${seq} moved by ${moved}, not ${step}`)
      still = log.scrollTop === 0 && log.scrollHeight === height ? still + 1 : 0
    }
    return { seqs: [...seqs].sort((a, b) => a - b), most, jumps, swallowed }
  })
  expect(seen.jumps).toEqual([])
  expect(seen.swallowed, 'of about 100 times that older rows came').toBeLessThan(15)
  expect(seen.most).toBeLessThan(150)
  const stored = (await alice.history(archive)).map(({ seq }) => seq)
  expect(stored).toHaveLength(MESSAGES)
  expect(seen.seqs).toEqual(stored)
})
