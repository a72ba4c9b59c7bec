import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'

import type { Locator, Page } from '@playwright/test'

import { expect, Person, test } from './support/test'

const WEB = resolve(import.meta.dirname, '../../services/gateway/src/storm_gateway/web')
const RESULTS = resolve(import.meta.dirname, '../../benchmarks/results')
const RUNS = 5
const MESSAGES = 10_000
const RATE = 200
const SECONDS = 10

const results: Record<string, unknown> = { machine: `${cpus().length} × ${cpus()[0]?.model}` }

test.describe.configure({ mode: 'serial' })
test.use({ settings: { STORM_COMMANDS_PER_SECOND: '100000', STORM_COMMANDS_BURST: '100000' } })

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

/** Frames of a page in a second, and the longest time between two. */
async function frames(page: Page, seconds: number): Promise<{ rate: number; longest: number }> {
  return page.evaluate(
    (length) =>
      new Promise((done) => {
        const times: number[] = []
        const step = (now: number) => {
          times.push(now)
          if (now - (times[0] ?? now) < length * 1000) requestAnimationFrame(step)
          else {
            const gaps = times.slice(1).map((at, index) => at - (times[index] ?? at))
            done({ rate: gaps.length / length, longest: Math.max(...gaps) })
          }
        }
        requestAnimationFrame(step)
      }),
    seconds,
  )
}

async function sizes(page: Page, url: string, there: Locator): Promise<Record<string, number>> {
  const asked = new Set<string>()
  page.on('response', (response) => {
    if (/\.(js|css)$/.test(response.url())) asked.add(response.url())
  })
  await page.goto(url)
  await there.waitFor()
  await page.waitForTimeout(1_000)
  const found = { files: asked.size, plain: 0, gzip: 0, brotli: 0 }
  for (const each of asked) {
    const bytes = await readFile(WEB + new URL(each).pathname)
    found.plain += bytes.length
    found.gzip += gzipSync(bytes, { level: 9 }).length
    found.brotli += brotliCompressSync(bytes).length
  }
  return found
}

test('the size of the first load: the login page, and a channel', async ({
  gateway,
  browser,
  enter,
}) => {
  await Person.register(gateway, 'alice')
  const stranger = await (await browser.newContext()).newPage()
  const login = await sizes(stranger, `${gateway.url}/login`, stranger.getByLabel('User name'))
  await stranger.context().close()
  const { page } = await enter('alice')
  const fresh = await page.context().newPage()
  const composer = fresh.getByRole('textbox', { name: /^Write to / })
  const channel = await sizes(fresh, `${gateway.url}/c/1`, composer)
  results.first_load = { login, channel }
  expect(login.gzip).toBeLessThan(250_000)
  expect(channel.gzip).toBeLessThan(250_000)
})

test('the time until something is there', async ({ gateway, browser }) => {
  await Person.register(gateway, 'alice')
  const paints: number[] = []
  const interactions: number[] = []
  for (let run = 0; run < RUNS; run++) {
    const page = await (await browser.newContext()).newPage()
    await page.goto(`${gateway.url}/login`)
    await page.getByLabel('User name').waitFor()
    await page.evaluate(() => {
      const state = window as unknown as { longest: number }
      state.longest = 0
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries())
          state.longest = Math.max(state.longest, entry.duration)
      }).observe({
        type: 'event',
        durationThreshold: 16,
        buffered: true,
      } as PerformanceObserverInit)
    })
    paints.push(
      await page.evaluate(
        () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN,
      ),
    )
    await page.getByLabel('User name').pressSequentially('alice', { delay: 30 })
    await page
      .getByLabel('Password', { exact: true })
      .pressSequentially('not this one', { delay: 30 })
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('alert').first().waitFor()
    interactions.push(await page.evaluate(() => (window as unknown as { longest: number }).longest))
    await page.context().close()
  }
  results.first_contentful_paint_ms = { median: median(paints), runs: paints }
  results.longest_interaction_ms = { median: median(interactions), runs: interactions }
})

test('a channel of 10,000 messages, and 200 new ones a second', async ({ gateway, enter }) => {
  test.setTimeout(400_000)
  const bob = await Person.register(gateway, 'bob')
  await Person.register(gateway, 'alice')
  await bob.join(1)
  for (let at = 0; at < MESSAGES; at += 100)
    await Promise.all(
      Array.from({ length: 100 }, (_, each) =>
        bob.say(
          1,
          `Number ${at + each}: ${'some words of ordinary length '.repeat((at + each) % 5)}`,
        ),
      ),
    )
  const other = await bob.createChannel('elsewhere')
  const { page } = await enter('alice', { path: '/c/1' })
  await page.getByRole('button', { name: /^Join/ }).click()
  const opened: number[] = []
  for (let run = 0; run < RUNS; run++) {
    await page.goto(`${gateway.url}/c/${other}`)
    await page.getByRole('link', { name: /general/ }).waitFor()
    opened.push(
      await page.evaluate(
        () =>
          new Promise<number>((done) => {
            const begin = performance.now()
            const seen = new MutationObserver(() => {
              if (document.querySelectorAll('[data-message]').length < 5) return
              seen.disconnect()
              requestAnimationFrame(() => requestAnimationFrame((now) => done(now - begin)))
            })
            seen.observe(document.body, { childList: true, subtree: true })
            document.querySelector<HTMLAnchorElement>('a[href="/c/1"]')?.click()
          }),
      ),
    )
  }
  results.open_channel_ms = { messages: MESSAGES, median: median(opened), runs: opened }

  // All of them loaded, by scrolling up as people do.
  const list = page.getByRole('log')
  const begin = Date.now()
  await expect
    .poll(
      async () => {
        await list.evaluate((log) => (log.scrollTop = 0))
        return page.getByText('Number 0:', { exact: false }).count()
      },
      { timeout: 180_000, intervals: [20] },
    )
    .toBeGreaterThan(0)
  results.load_all_seconds = (Date.now() - begin) / 1000

  // The limit of this machine: the same page at rest, in the same run.
  const rest = await frames(page, 3)
  const scrolling = frames(page, 8)
  await list.evaluate(async (log) => {
    const until = performance.now() + 7_500
    let step = 120
    while (performance.now() < until) {
      log.scrollTop += step
      if (log.scrollTop + log.clientHeight >= log.scrollHeight - 1) step = -step
      await new Promise((wake) => requestAnimationFrame(wake))
    }
    log.scrollTop = log.scrollHeight
  })
  results.frames_scrolling = { ...(await scrolling), at_rest: rest }

  await page.waitForTimeout(500)
  const arriving = frames(page, SECONDS)
  const due = Date.now()
  for (let sent = 0; sent < RATE * SECONDS; sent += 10) {
    const wait = due + (sent * 1000) / RATE - Date.now()
    if (wait > 0) await new Promise((wake) => setTimeout(wake, wait))
    void Promise.all(Array.from({ length: 10 }, (_, each) => bob.say(1, `Live ${sent + each}`)))
  }
  results.frames_at_200_messages_a_second = { ...(await arriving), at_rest: rest }
  await expect(page.getByText(`Live ${RATE * SECONDS - 1}`, { exact: true })).toBeVisible({
    timeout: 20_000,
  })
})

test.afterAll(async () => {
  await mkdir(RESULTS, { recursive: true })
  await writeFile(`${RESULTS}/web.json`, `${JSON.stringify(results, null, 2)}\n`)
})
