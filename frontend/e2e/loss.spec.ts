import { expect, Person, test } from './support/test'

test('a gateway that is killed between messages loses, doubles and swaps nothing on the screen', async ({
  gateway,
  enter,
}) => {
  test.setTimeout(300_000)
  await Person.register(gateway, 'alice')
  await Person.register(gateway, 'bob')
  const alice = await enter('alice', { path: '/c/1' })
  const bob = await enter('bob', { path: '/c/1' })
  const written: string[] = []
  for (let round = 0; round < 3; round++) {
    for (let number = 0; number < 4; number++) {
      for (const [name, client] of [['alice', alice] as const, ['bob', bob] as const]) {
        const text = `${name} ${round}.${number}`
        written.push(text)
        await client.say(text)
      }
      // In the middle of it: what was just written may be acknowledged or not.
      if (number === 1) await gateway.kill()
    }
    await expect(
      alice.page
        .getByRole('status')
        .filter({ hasText: /offline|connect/i })
        .first(),
    ).toBeVisible()
    await gateway.start()
    for (const client of [alice, bob]) {
      const retry = client.page.getByRole('button', { name: 'Try now' })
      if (await retry.isVisible()) await retry.click().catch(() => undefined)
      await expect(client.page.locator('[data-state="pending"]')).toHaveCount(0, {
        timeout: 45_000,
      })
      await expect(client.message(`bob ${round}.3`)).toBeVisible({ timeout: 45_000 })
      await expect(client.message(`alice ${round}.3`)).toBeVisible({ timeout: 45_000 })
    }
  }
  const reader = await Person.register(gateway, 'reader')
  const stored = (await reader.history(1)).map(({ payload }) => payload)
  expect([...stored].sort()).toEqual([...written].sort())
  for (const who of ['alice', 'bob'])
    expect(stored.filter((text) => text.startsWith(who))).toEqual(
      written.filter((text) => text.startsWith(who)),
    )
  for (const client of [alice, bob])
    expect((await client.readAll()).map(({ text }) => text)).toEqual(stored)
})

test('who was offline for 30 s has all 500 messages that were missed, once and in order', async ({
  gateway,
  enter,
}) => {
  test.setTimeout(180_000)
  const alice = await Person.register(gateway, 'alice')
  await Person.register(gateway, 'bob')
  await alice.join(1)
  await alice.say(1, 'before')
  const bob = await enter('bob', { path: '/c/1' })
  await expect(bob.message('before')).toBeVisible()
  const since = Date.now()
  await bob.page.context().setOffline(true)
  await gateway.kill()
  await gateway.start()
  await expect(bob.page.getByText(/offline/i).first()).toBeVisible()
  for (let number = 0; number < 500; number++) await alice.say(1, `missed ${number}`)
  await bob.page.waitForTimeout(Math.max(0, 30_000 - (Date.now() - since)))
  await expect(bob.message('missed')).toHaveCount(0)
  await bob.page.context().setOffline(false)
  await expect(
    bob.page
      .getByText('missed 0', { exact: true })
      .or(bob.page.getByText('missed 499', { exact: true }))
      .first(),
  ).toBeAttached({ timeout: 40_000 })
  const stored = (await alice.history(1)).map(({ payload }) => payload)
  expect(stored).toHaveLength(501)
  await expect
    .poll(async () => (await bob.readAll()).map(({ text }) => text), { timeout: 40_000 })
    .toEqual(stored)
})

test('a message written offline survives a reload and is sent once', async ({ gateway, enter }) => {
  await Person.register(gateway, 'alice')
  const alice = await enter('alice', { path: '/c/1' })
  await alice.say('online')
  await expect(alice.message('online')).toHaveAttribute('data-state', 'sent')
  // The page comes from the gateway, the socket does not.
  let blocked = true
  await alice.page.routeWebSocket(/\/ws/, (socket) => {
    if (blocked) void socket.close()
    else socket.connectToServer()
  })
  await gateway.kill()
  await expect(alice.page.getByRole('button', { name: 'Try now' })).toBeVisible()
  await alice.say('written offline')
  await expect(alice.message('written offline')).toHaveAttribute('data-state', 'pending')
  await gateway.start()
  await alice.page.reload()
  await expect(alice.message('written offline')).toHaveAttribute('data-state', 'pending')
  blocked = false
  await alice.page.reload()
  await expect(alice.message('written offline')).toHaveAttribute('data-state', 'sent')
  const stored = (await (await Person.register(gateway, 'reader')).history(1)).map(
    ({ payload }) => payload,
  )
  expect(stored).toEqual(['online', 'written offline'])
})

test('a refused message says why in plain words, and can be given up', async ({
  gateway,
  enter,
}) => {
  const owner = await Person.register(gateway, 'owner')
  await Person.register(gateway, 'alice')
  const channel = await owner.createChannel('workshop')
  const alice = await enter('alice', { path: `/c/${channel}` })
  const join = alice.page.getByRole('button', { name: /^Join/ })
  if (await join.isVisible()) await join.click()
  await alice.say('allowed')
  await expect(alice.message('allowed')).toHaveAttribute('data-state', 'sent')
  await alice.page.context().setOffline(true)
  await alice.say('too late')
  await owner.ask('PUT', `/channels/${channel}/bans/alice`)
  await alice.page.context().setOffline(false)
  await expect(alice.page.getByText(/banned|no longer|removed/i).first()).toBeVisible({
    timeout: 40_000,
  })
})

test('what was written for a channel that is gone is still there to be copied', async ({
  gateway,
  enter,
}) => {
  const owner = await Person.register(gateway, 'owner')
  const alice = await Person.register(gateway, 'alice')
  const channel = await owner.createChannel('workshop')
  await alice.join(channel)
  const client = await enter('alice', { path: `/c/${channel}` })
  const { page } = client
  await expect(page.getByRole('heading', { name: /workshop/ })).toBeVisible()
  await gateway.kill()
  await expect(page.getByRole('button', { name: 'Try now' })).toBeVisible()
  await client.say('three pages of thought')
  // Who is back before the ban has sent it.
  await page.context().setOffline(true)
  await gateway.start()
  await owner.ask('PUT', `/channels/${channel}/bans/alice`)
  await page.context().setOffline(false)
  const unsent = page.getByRole('region', { name: 'What you wrote here was not sent' })
  await expect(unsent).toContainText('three pages of thought', { timeout: 45_000 })
  await unsent.getByRole('button', { name: 'Discard' }).click()
  await expect(unsent).toHaveCount(0)
})

test('a message that was refused says why, is sent again on request, and goes out once', async ({
  gateway,
  enter,
}) => {
  test.setTimeout(120_000)
  await Person.register(gateway, 'alice')
  const alice = await enter('alice', { path: '/c/1' })
  await alice.say('short')
  await expect(alice.message('short')).toHaveAttribute('data-state', 'sent')
  const text = 'a long story '.repeat(20).trim()
  await gateway.kill()
  await expect(alice.page.getByRole('button', { name: 'Try now' })).toBeVisible()
  await alice.say(text)
  await gateway.start({ STORM_PAYLOAD_CHARACTERS: '100' })
  const row = alice.message('a long story')
  await expect(row).toHaveAttribute('data-state', 'failed', { timeout: 45_000 })
  await expect(row).toContainText('Not sent. This is too long.')
  await gateway.kill()
  await gateway.start()
  await expect(alice.page.locator('[data-banner="waiting"]')).toHaveCount(0, { timeout: 45_000 })
  await row.getByRole('button', { name: 'Send again' }).click()
  await expect(row).toHaveAttribute('data-state', 'sent', { timeout: 20_000 })
  const stored = (await (await Person.register(gateway, 'reader')).history(1)).map(
    ({ payload }) => payload,
  )
  expect(stored).toEqual(['short', text])
})

test.describe('with tokens that live for a few seconds', () => {
  test.use({ settings: { STORM_ACCESS_TOKEN_SECONDS: '14', STORM_TOKEN_EXPIRING_SECONDS: '9' } })

  test('the token is renewed on the live connection, which lasts', async ({ gateway, enter }) => {
    await Person.register(gateway, 'alice')
    const alice = await enter('alice')
    // The page on which one logs in may just be connecting, too: its socket is not counted.
    await alice.page.goto('about:blank')
    const opened: string[] = []
    const renewed: string[] = []
    alice.page.on('websocket', (socket) => {
      opened.push(socket.url())
      socket.on('framesent', ({ payload }) => {
        if (String(payload).includes('"authenticate"')) renewed.push('renewed')
      })
    })
    await alice.open(1)
    await expect.poll(() => renewed.length, { timeout: 40_000 }).toBeGreaterThan(2)
    await alice.say('still here')
    await expect(alice.message('still here')).toHaveAttribute('data-state', 'sent')
    expect(opened).toHaveLength(1)
  })
})

test('a slow network delays and loses nothing', async ({ gateway, enter }) => {
  await Person.register(gateway, 'alice')
  const bob = await Person.register(gateway, 'bob')
  await bob.join(1)
  const alice = await enter('alice')
  const network = await alice.page.context().newCDPSession(alice.page)
  await network.send('Network.enable')
  await network.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 400,
    downloadThroughput: 30_000,
    uploadThroughput: 15_000,
  })
  await alice.open(1)
  for (let number = 0; number < 20; number++) {
    await bob.say(1, `from bob ${number}`)
    await alice.say(`from alice ${number}`)
  }
  await expect(alice.page.locator('[data-state="pending"]')).toHaveCount(0, { timeout: 40_000 })
  const stored = (await bob.history(1)).map(({ payload }) => payload)
  expect(stored).toHaveLength(40)
  await expect.poll(async () => (await alice.readAll()).map(({ text }) => text)).toEqual(stored)
})

test('the page and `storm tail` show the same conversation, through a restart of the gateway', async ({
  gateway,
  enter,
}) => {
  test.setTimeout(180_000)
  const alice = await Person.register(gateway, 'alice')
  await Person.register(gateway, 'bob')
  await alice.say(1, 'said before either was there')
  const page = await enter('alice', { path: '/c/1' })
  const tail = gateway.tail(1, 'bob', '--json')
  try {
    await expect.poll(tail.shown).toEqual(['said before either was there'])
    for (let number = 0; number < 5; number++) await page.say(`before the restart ${number}`)
    await gateway.drain()
    for (let number = 0; number < 5; number++) await page.say(`while it was away ${number}`)
    await gateway.start()
    for (let number = 0; number < 5; number++) await alice.say(1, `by the API ${number}`)
    await expect(page.page.locator('[data-state="pending"]')).toHaveCount(0, { timeout: 45_000 })
    const stored = (await alice.history(1)).map(({ payload }) => payload)
    expect(stored).toHaveLength(16)
    await expect.poll(tail.shown, { timeout: 45_000 }).toEqual(stored)
    await expect
      .poll(async () => (await page.readAll()).map(({ text }) => text), { timeout: 45_000 })
      .toEqual(stored)
  } finally {
    await tail.end()
  }
})
