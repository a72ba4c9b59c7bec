import { mkdir } from 'node:fs/promises'
import { resolve } from 'node:path'

import type { Browser, Page } from '@playwright/test'

import { expect, Gateway, Person, test } from './support/test'
import { PASSWORD } from './support/person'

const FOLDER = resolve(import.meta.dirname, '../../docs/screenshots')

const PEOPLE = {
  ada: 'Ada Lovelace',
  grace: 'Grace Hopper',
  linus: 'Linus Pauling',
  mae: 'Mae Jemison',
}
const SAID: [keyof typeof PEOPLE, string][] = [
  ['grace', 'Morning, everyone. The new release is on **staging** since 9:40.'],
  ['linus', 'Nice. Did the migration run?'],
  [
    'grace',
    'Yes, 3.2 s on a copy of production. Here is what I ran:\n```sh\nstorm migrate\nstorm serve --workers 4\n```',
  ],
  ['mae', 'I killed a node on purpose while @ada was typing. Nothing was lost 🎉'],
  ['ada', 'Can confirm: the message was pending for half a second, then there it was.'],
  ['mae', '> nothing lost, nothing doubled, nothing out of order\n\nThat is the whole point.'],
  ['linus', 'Then let us ship it. Checklist:\n- docs\n- changelog\n- cake'],
  ['ada', '🍰'],
]

async function furnish(gateway: Gateway): Promise<{ team: number }> {
  const people = new Map<string, Person>()
  for (const [id, name] of Object.entries(PEOPLE))
    people.set(id, await Person.register(gateway, id, name))
  const root = await Person.register(gateway, 'root', 'Root')
  const ada = people.get('ada')!
  const team = await ada.createChannel('release-team', 'public', 'What ships next, and when')
  await ada.createChannel('design', 'public', 'Pictures before words')
  await ada.createChannel('incidents', 'private', 'Calm and quick')
  const random = await people.get('mae')!.createChannel('random', 'public', 'Anything at all')
  for (const person of [...people.values(), root]) await person.join(1)
  for (const id of ['grace', 'linus', 'mae']) await people.get(id)!.join(team)
  await ada.join(random)
  const messages = []
  for (const [id, text] of SAID) messages.push(await people.get(id)!.say(team, text))
  for (const id of ['ada', 'grace', 'linus'])
    await people.get(id)!.react(team, messages[3]!.id, '🎉')
  await people.get('mae')!.react(team, messages[6]!.id, '👍')
  await people.get('mae')!.say(random, 'Has anybody seen my soldering iron?')
  await people.get('grace')!.say(await people.get('grace')!.direct('ada'), 'Lunch at noon?')
  return { team }
}

async function enter(
  browser: Browser,
  gateway: Gateway,
  options: object,
  who = 'ada',
): Promise<Page> {
  const page = await (await browser.newContext({ deviceScaleFactor: 2, ...options })).newPage()
  await page.goto(`${gateway.url}/login`)
  await page.getByLabel('User name').fill(who)
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
  await page.getByRole('button', { name: 'Log in' }).click()
  await expect(page).not.toHaveURL(/login/)
  return page
}

test('pictures of each main screen', async ({ browser, gateway }) => {
  test.setTimeout(300_000)
  await mkdir(FOLDER, { recursive: true })
  const { team } = await furnish(gateway)
  for (const colorScheme of ['light', 'dark'] as const)
    for (const [size, viewport] of [
      ['desktop', { width: 1280, height: 800 }],
      ['phone', { width: 390, height: 844 }],
    ] as const) {
      const phone = size === 'phone'
      const options = {
        colorScheme,
        viewport,
        reducedMotion: 'reduce' as const,
        hasTouch: phone,
        isMobile: phone,
      }
      const shoot = async (page: Page, name: string) => {
        await page.waitForTimeout(400)
        await page.screenshot({ path: `${FOLDER}/${name}-${size}-${colorScheme}.png` })
      }
      const stranger = await (
        await browser.newContext({ deviceScaleFactor: 2, ...options })
      ).newPage()
      for (const name of ['login', 'register']) {
        await stranger.goto(`${gateway.url}/${name}`)
        await stranger.getByRole('button').first().waitFor()
        await shoot(stranger, name)
      }
      await stranger.context().close()

      const page = await enter(browser, gateway, options)
      await page.goto(`${gateway.url}/c/${team}`)
      await expect(page.locator('[data-message]').last()).toContainText('🍰')
      await shoot(page, 'channel')
      if (phone) {
        await page
          .getByRole('button', { name: /open|channels|menu/i })
          .first()
          .tap()
        await shoot(page, 'channels')
        await page.keyboard.press('Escape')
      } else {
        await page
          .getByRole('button', { name: /members/i })
          .first()
          .click()
        await shoot(page, 'members')
        await page.keyboard.press('Control+k')
        await shoot(page, 'quick-switcher')
        await page.keyboard.press('Escape')
      }
      await page.goto(`${gateway.url}/settings`)
      await shoot(page, 'settings')
      await page.goto(`${gateway.url}/c/${team}`)
      await expect(page.locator('[data-message]').last()).toContainText('🍰')
      await gateway.kill()
      await page.getByRole('button', { name: 'Try now' }).waitFor()
      await page
        .getByRole('textbox', { name: /^Write to/ })
        .fill('This waits until the gateway is back')
      await page.keyboard.press('Enter')
      await shoot(page, 'offline')
      await gateway.start()
      await page.context().close()

      const root = await enter(browser, gateway, options, 'root')
      await root.goto(`${gateway.url}/admin`)
      await root.waitForTimeout(6_000)
      await shoot(root, 'admin')
      await root.context().close()
    }
})

test('one conversation in the page and in `storm tail`, through a restart', async ({
  browser,
  gateway,
}) => {
  test.setTimeout(120_000)
  const bob = await Person.register(gateway, 'bob', 'Bob')
  const ada = await Person.register(gateway, 'ada', 'Ada Lovelace')
  for (const person of [bob, ada]) await person.join(1)
  const viewport = { width: 760, height: 620 }
  const page = await enter(browser, gateway, { viewport, reducedMotion: 'reduce' as const })
  await page.goto(`${gateway.url}/c/1`)
  const composer = page.getByRole('textbox', { name: /^Write to/ })
  const write = async (text: string) => {
    await composer.fill(text)
    await composer.press('Enter')
  }
  const tail = gateway.tail(1, 'bob')
  await expect.poll(tail.printed).toContain('online')
  await write('Written before the restart')
  await expect.poll(tail.printed).toContain('Written before the restart')
  await gateway.drain()
  await write('Written while the gateway was away')
  await write('This one, too')
  await gateway.start()
  await expect(page.locator('[data-state="pending"]')).toHaveCount(0, { timeout: 45_000 })
  await expect.poll(tail.printed, { timeout: 45_000 }).toContain('This one, too')
  await bob.say(1, 'I read it all, once and in order')
  await expect.poll(tail.printed).toContain('once and in order')
  await expect(page.locator('[data-message]').last()).toContainText('once and in order')
  await page.waitForTimeout(4_000)
  const left = (await page.screenshot()).toString('base64')
  const lines = tail.printed()
  await tail.end()

  // What both showed, beside each other.
  const both = await (
    await browser.newContext({ deviceScaleFactor: 2, viewport: { width: 1520, height: 620 } })
  ).newPage()
  await both.setContent(
    `<body style="margin:0;display:flex;background:#101117;height:620px">
       <img src="data:image/png;base64,${left}" width="760" height="620" alt="">
       <pre style="margin:0;padding:24px;color:#e9eaf1;font:12px/1.7 monospace;white-space:pre-wrap"></pre>`,
  )
  await both.locator('pre').evaluate((pre, text) => {
    pre.textContent = `$ storm tail general --as bob\n${text}`
  }, lines)
  await both.screenshot({ path: `${FOLDER}/page-and-tail.png` })
  await both.context().close()
  await page.context().close()
})
