import { expect, Person, test } from './support/test'

test('two browsers talk, and see each other type, edit, react and delete', async ({
  gateway,
  enter,
}) => {
  await Person.register(gateway, 'alice', 'Alice')
  await Person.register(gateway, 'bob', 'Bob')
  const alice = await enter('alice', { path: '/c/1' })
  const bob = await enter('bob', { path: '/c/1' })
  // Nobody is told afterwards that somebody was typing: both have to listen by then.
  await expect(alice.page.getByText('2 online')).toBeVisible()
  await expect(bob.page.getByText('2 online')).toBeVisible()

  await alice.composer.pressSequentially('Hello Bo')
  await expect(bob.page.getByText('Alice is typing')).toBeVisible()
  await alice.say('Hello **Bob**')
  await expect(bob.message('Hello Bob').locator('strong')).toHaveText('Bob')
  await expect(alice.message('Hello Bob')).toHaveAttribute('data-state', 'sent')

  await bob.say('Hi Alice')
  await expect(alice.message('Hi Alice')).toBeVisible()

  // ↑ in the empty composer edits the last one.
  await alice.composer.press('ArrowUp')
  const editor = alice.page.locator('[data-message] textarea')
  await editor.fill('Hello Bob, how are you?')
  await editor.press('Enter')
  await expect(bob.message('Hello Bob, how are you?')).toContainText('edited')

  await bob.message('how are you').hover()
  await bob.page.getByRole('button', { name: /Add (a )?reaction|React/i }).click()
  await bob.page.getByRole('searchbox').fill('thumbs up')
  await bob.page.getByRole('gridcell').or(bob.page.getByRole('option')).first().click()
  await expect(alice.message('how are you').getByRole('button', { name: /👍/ })).toBeVisible()

  await bob.message('Hi Alice').hover()
  await bob.page.getByRole('button', { name: 'Delete' }).click()
  await bob.page
    .getByRole('dialog')
    .or(bob.page.getByRole('alertdialog'))
    .getByRole('button', { name: 'Delete' })
    .click()
  await expect(alice.message('Hi Alice')).toHaveCount(0)
})

test('a new person registers, finds the general channel and talks within a minute', async ({
  gateway,
  enter,
  browser,
}) => {
  await Person.register(gateway, 'bob')
  const bob = await enter('bob', { path: '/c/1' })
  const page = await (await browser.newContext()).newPage()
  await page.goto(gateway.url)
  await page.getByRole('link', { name: /create an account|sign up|register/i }).click()
  await expect(page.getByRole('heading', { name: 'Create an account' })).toBeVisible()
  await page.getByLabel('User name').fill('newcomer')
  await page.getByLabel('Password', { exact: true }).fill('a fine password')
  await page.getByRole('button', { name: /create|sign up|register/i }).click()
  await expect(page.getByRole('heading', { name: /general/ })).toBeVisible()
  const join = page.getByRole('button', { name: /^Join/ })
  const composer = page.getByRole('textbox', { name: /^Write to / })
  await expect(join.or(composer).first()).toBeVisible()
  if (await join.isVisible()) await join.click()
  await composer.fill('I am new here')
  await composer.press('Enter')
  await expect(bob.message('I am new here')).toBeVisible()
  await page.context().close()
})

test('a direct message makes itself known, and reading it is known to the other window', async ({
  gateway,
  enter,
}) => {
  const alice = await Person.register(gateway, 'alice', 'Alice')
  await Person.register(gateway, 'bob', 'Bob')
  const bob = await enter('bob', { path: '/c/1' })
  const elsewhere = await enter('bob', { path: '/c/1' })
  const direct = await alice.direct('bob')
  await alice.say(direct, 'Psst, Bob')
  const entry = bob.page.getByRole('link', { name: /Alice/ })
  await expect(entry).toContainText('1')
  await expect(bob.page).toHaveTitle(/1/)
  await entry.click()
  await expect(bob.message('Psst, Bob')).toBeVisible()
  await expect(elsewhere.page.getByRole('link', { name: /Alice/ })).not.toContainText('1')
})
