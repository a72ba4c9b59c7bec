import { expect, Person, test } from './support/test'

test('a moderator deletes a message and bans its author, who hears no more', async ({
  gateway,
  enter,
}) => {
  const owner = await Person.register(gateway, 'owner', 'Olga')
  await Person.register(gateway, 'mod', 'Mo')
  const rude = await Person.register(gateway, 'rude', 'Rudi')
  const channel = await owner.createChannel('market')
  await owner.invite(channel, 'mod')
  await owner.setRole(channel, 'mod', 'moderator')
  await rude.join(channel)
  await rude.say(channel, 'buy my pills')
  const mod = await enter('mod', { path: `/c/${channel}` })
  const target = await enter('rude', { path: `/c/${channel}` })

  await mod.message('buy my pills').hover()
  await mod.page.getByRole('button', { name: 'Delete' }).click()
  const dialog = mod.page.getByRole('alertdialog').or(mod.page.getByRole('dialog'))
  await dialog.getByRole('button', { name: 'Delete' }).click()
  await expect(target.message('buy my pills')).toHaveCount(0)
  await expect(target.page.getByText('This message was deleted.')).toBeVisible()

  await mod.page
    .getByRole('button', { name: /members/i })
    .first()
    .click()
  await mod.page.getByRole('button', { name: /Rudi/ }).last().click()
  await mod.page.getByRole('menuitem', { name: /ban/i }).click()
  await dialog.getByRole('button', { name: /ban/i }).click()
  await expect(target.page.getByText(/banned/i).first()).toBeVisible()
  await owner.say(channel, 'peace at last')
  await expect(mod.message('peace at last')).toBeVisible()
  await expect(target.message('peace at last')).toHaveCount(0)
  await expect(rude.say(channel, 'hey')).rejects.toThrow('banned')
})

test('nobody without the right is offered what a moderator may do', async ({ gateway, enter }) => {
  const owner = await Person.register(gateway, 'owner')
  await Person.register(gateway, 'alice')
  await owner.say(1, 'mine')
  const alice = await enter('alice', { path: '/c/1' })
  await alice.message('mine').hover()
  await expect(alice.page.getByRole('button', { name: /reaction/i })).toBeVisible()
  await expect(alice.page.getByRole('button', { name: 'Delete' })).toHaveCount(0)
  await expect(alice.page.getByRole('button', { name: 'Edit' })).toHaveCount(0)
})

test('a private channel is there for who was invited, and gone for who was removed', async ({
  gateway,
  enter,
}) => {
  const owner = await Person.register(gateway, 'owner')
  await Person.register(gateway, 'alice')
  const secret = await owner.createChannel('secret plans', 'private')
  await owner.say(secret, 'before the invitation')
  const alice = await enter('alice', { path: '/c/1' })
  await expect(alice.page.getByRole('link', { name: /secret plans/ })).toHaveCount(0)
  await owner.invite(secret, 'alice')
  await alice.page.getByRole('link', { name: /secret plans/ }).click()
  await expect(alice.message('before the invitation')).toBeVisible()
  await owner.ask('DELETE', `/channels/${secret}/members/alice`)
  await expect(alice.page.getByRole('link', { name: /secret plans/ })).toHaveCount(0)
  await expect(alice.message('before the invitation')).toHaveCount(0)
})

test('a menu of a member stays open, and in its place, when the member comes online', async ({
  gateway,
  enter,
}) => {
  const owner = await Person.register(gateway, 'owner')
  const channel = await owner.createChannel('market')
  const rudi = await Person.register(gateway, 'rude', 'Rudi')
  await rudi.join(channel)
  const { page } = await enter('owner', { path: `/c/${channel}` })
  await page
    .getByRole('button', { name: /members/i })
    .first()
    .click()
  const members = page.getByTestId('members')
  await expect(members).toContainText('1 person online')
  await page.getByRole('button', { name: /Rudi/ }).last().click()
  const item = page.getByRole('menuitem', { name: /ban/i })
  await item.click({ trial: true }) // it has grown to its size
  const before = await item.boundingBox()

  await enter('rude', { path: `/c/${channel}` })
  await expect(members).toContainText('2 people online')
  expect(await item.boundingBox()).toEqual(before)
  await page.keyboard.press('Escape')
  await expect(members.getByRole('heading', { name: /Online/ })).toContainText('2')
})
