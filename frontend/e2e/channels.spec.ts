import { expect, Person, test } from './support/test'

test('a private channel is made, furnished, filled with people and left, all by the page', async ({
  gateway,
  enter,
}) => {
  await Person.register(gateway, 'alice', 'Alice')
  await Person.register(gateway, 'bob', 'Bob')
  const alice = await enter('alice', { path: '/c/1' })
  const bob = await enter('bob', { path: '/c/1' })

  await alice.page.getByRole('button', { name: 'Create a channel' }).last().click()
  const dialog = alice.page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('secret plans')
  await dialog.getByLabel('Topic').fill('Hush')
  await dialog.getByRole('switch').click()
  await dialog.getByRole('button', { name: 'Create' }).click()
  await expect(alice.page.getByRole('heading', { name: 'secret plans' })).toBeVisible()
  await expect(bob.page.getByRole('link', { name: /secret plans/ })).toHaveCount(0)

  // What one does not touch stays: the topic, and that it is private.
  await alice.page.getByRole('button', { name: 'Channel settings' }).click()
  await expect(dialog.getByLabel('Name')).toHaveValue('secret plans')
  await expect(dialog.getByLabel('Topic')).toHaveValue('Hush')
  await expect(dialog.getByRole('switch')).toBeChecked()
  await dialog.getByLabel('Name').fill('quiet plans')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(alice.page.getByRole('heading', { name: 'quiet plans' })).toBeVisible()

  await alice.page.getByRole('button', { name: 'Invite people' }).click()
  await dialog.getByRole('button', { name: /Bob/ }).click()
  await expect(dialog.getByRole('button', { name: /Bob/ })).toContainText('Member')
  await alice.page.keyboard.press('Escape')
  await bob.page.getByRole('link', { name: /quiet plans/ }).click()
  await expect(bob.page.getByText('Hush').first()).toBeVisible()

  await bob.page.getByRole('button', { name: 'Channel settings' }).click()
  await bob.page.getByRole('dialog').getByRole('button', { name: 'Leave' }).click()
  await expect(bob.page.getByRole('link', { name: /quiet plans/ })).toHaveCount(0)
  await expect(alice.page.getByText('Bob left')).toBeVisible()
})

test('who browses finds the public channels, joins one and can write at once', async ({
  gateway,
  enter,
}) => {
  const owner = await Person.register(gateway, 'owner')
  await owner.createChannel('gardening', 'public', 'What grows')
  await owner.createChannel('secret', 'private')
  await Person.register(gateway, 'alice')
  const alice = await enter('alice', { path: '/c/1' })
  await alice.page.getByRole('button', { name: 'Browse channels' }).last().click()
  const dialog = alice.page.getByRole('dialog')
  await expect(dialog.getByText('What grows')).toBeVisible()
  await expect(dialog.getByText('secret')).toHaveCount(0)
  await dialog.getByRole('button', { name: 'Join gardening' }).click()
  await expect(alice.page.getByRole('heading', { name: 'gardening' })).toBeVisible()
  await alice.say('Tomatoes')
  await expect(alice.message('Tomatoes')).toHaveAttribute('data-state', 'sent')
})

test('a channel that is clicked in the list takes what one types; what was begun elsewhere stays there', async ({
  gateway,
  enter,
}) => {
  const owner = await Person.register(gateway, 'alice')
  await owner.createChannel('gardening')
  await owner.join(1)
  const { page, composer } = await enter('alice', { path: '/c/1' })
  await expect(composer).toBeFocused()
  await page.keyboard.type('half a thought')
  await page.getByRole('link', { name: /gardening/ }).click()
  await expect(composer).toHaveValue('')
  await expect(composer).toBeFocused()
  await page.keyboard.type('roses')
  await expect(composer).toHaveValue('roses')
  await expect(page.getByRole('link', { name: /general/ })).toContainText('Draft')
  await page.reload()
  await expect(composer).toHaveValue('roses')
  await page.getByRole('link', { name: /general/ }).click()
  await expect(composer).toHaveValue('half a thought')
})
