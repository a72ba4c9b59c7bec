import AxeBuilder from '@axe-core/playwright'
import type { Page } from '@playwright/test'

import { expect, Person, test, type Gateway } from './support/test'

async function lively(gateway: Gateway): Promise<void> {
  const alice = await Person.register(gateway, 'alice', 'Alice')
  const bob = await Person.register(gateway, 'bob', 'Bob')
  await alice.join(1)
  await bob.join(1)
  const first = await alice.say(1, 'Good morning! See https://example.org and `code`')
  await bob.react(1, first.id, '👍')
  await bob.say(1, '```js\nconsole.log(1)\n```\n\n> quoted\n\n- one\n- two')
  await bob.say(await bob.direct('alice'), 'Hi')
  await alice.createChannel('gardening', 'public', 'What grows')
}

async function violations(page: Page): Promise<string[]> {
  const found = await new AxeBuilder({ page }).analyze()
  return found.violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' | ')}`,
  )
}

for (const colorScheme of ['light', 'dark'] as const)
  test(`axe finds nothing on any screen, ${colorScheme}`, async ({ gateway, enter, browser }) => {
    test.setTimeout(240_000)
    await lively(gateway)
    const stranger = await (await browser.newContext({ colorScheme })).newPage()
    for (const path of ['/login', '/register', '/settings/nothing']) {
      await stranger.goto(gateway.url + path)
      await expect(stranger.getByRole('heading').first()).toBeVisible()
      expect(await violations(stranger), path).toEqual([])
    }
    await stranger.context().close()
    const { page } = await enter('alice', { path: '/c/1', colorScheme })
    await expect(page.locator('[data-message]').first()).toBeVisible()
    expect(await violations(page), 'channel').toEqual([])
    await page
      .getByRole('button', { name: /members/i })
      .first()
      .click()
    await expect(page.getByText('Bob').last()).toBeVisible()
    expect(await violations(page), 'members').toEqual([])
    await page.keyboard.press('Control+k')
    await expect(page.getByRole('dialog')).toBeVisible()
    expect(await violations(page), 'quick switcher').toEqual([])
    await page.keyboard.press('Escape')
    for (const name of ['Create a channel', 'Browse channels', 'Channel settings']) {
      await page.getByRole('button', { name }).last().click()
      await expect(page.getByRole('dialog', { name: /channel|general/i })).toBeVisible()
      expect(await violations(page), name).toEqual([])
      await page.keyboard.press('Escape')
      await expect(page.getByRole('dialog')).toHaveCount(0)
    }
    await page.goto(`${gateway.url}/settings`)
    await expect(page.getByRole('heading').first()).toBeVisible()
    expect(await violations(page), 'settings').toEqual([])

    await Person.register(gateway, 'root')
    const admin = (await enter('root', { path: '/admin', colorScheme })).page
    for (const name of ['Nodes', 'Users', 'Channels']) {
      await admin.getByRole('tab', { name }).click()
      await expect(
        admin.getByText(name === 'Nodes' ? 'Nodes ready' : /alice|general/).first(),
      ).toBeVisible()
      expect(await violations(admin), name).toEqual([])
    }
  })

test('the page speaks French to a French browser, and can be told otherwise', async ({
  gateway,
  enter,
  browser,
}) => {
  await Person.register(gateway, 'alice')
  const context = await browser.newContext({ locale: 'fr-FR' })
  const page = await context.newPage()
  await page.goto(`${gateway.url}/login`)
  await expect(page.locator('html')).toHaveAttribute('lang', 'fr')
  await expect(page.getByRole('button', { name: 'Se connecter' })).toBeVisible()
  await context.close()
  const alice = await enter('alice', { path: '/settings' })
  await expect(alice.page.locator('html')).toHaveAttribute('lang', 'en')
  await alice.page.getByLabel('Language').selectOption({ label: 'Français' })
  await expect(alice.page.locator('html')).toHaveAttribute('lang', 'fr')
  await alice.page.reload()
  await expect(alice.page.locator('html')).toHaveAttribute('lang', 'fr')
})

test('on a phone one pane is shown at a time, and everything can be reached', async ({
  gateway,
  enter,
}) => {
  await lively(gateway)
  const { page, composer } = await enter('alice', {
    path: '/c/1',
    viewport: { width: 390, height: 844 },
    hasTouch: true,
    isMobile: true,
  })
  await expect(composer).toBeVisible()
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390)
  await page
    .getByRole('button', { name: /open|channels|menu/i })
    .first()
    .tap()
  await page.getByRole('link', { name: /Bob/ }).tap()
  await expect(page.getByText('Hi', { exact: true })).toBeVisible()
  await composer.fill('From my phone')
  await page.getByRole('button', { name: 'Send' }).tap()
  await expect(page.locator('[data-message]').last()).toContainText('From my phone')
})

test('a deep link leads there after logging in, and an unknown one says so', async ({
  gateway,
  enter,
}) => {
  const alice = await Person.register(gateway, 'alice')
  const channel = await alice.createChannel('far away')
  const client = await enter('alice', { path: `/c/${channel}` })
  await expect(client.page).toHaveURL(new RegExp(`/c/${channel}$`))
  await expect(client.page.getByRole('heading', { name: /far away/ })).toBeVisible()
  await client.page.goto(`${gateway.url}/c/999`)
  await expect(client.page.getByText(/no such channel|not exist|not found/i).first()).toBeVisible()
})

test('the keyboard alone is enough: switch, write, ask for help', async ({ gateway, enter }) => {
  const person = await Person.register(gateway, 'alice')
  await person.createChannel('gardening')
  const { page, composer } = await enter('alice', { path: '/c/1' })
  await page.keyboard.press('Control+k')
  await page.keyboard.type('gard')
  await expect(page.getByRole('option', { name: /gardening/ })).toBeVisible()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { name: /gardening/ })).toBeVisible()
  await expect(composer).toBeFocused()
  await page.keyboard.type('line one')
  await page.keyboard.press('Shift+Enter')
  await page.keyboard.type('line two')
  await page.keyboard.press('Enter')
  await expect(page.locator('[data-message]').last()).toContainText('line two')
  await page.keyboard.press('Control+/')
  await expect(page.getByRole('dialog', { name: /shortcut/i })).toBeVisible()
})
