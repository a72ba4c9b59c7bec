import { Client, expect, Person, test } from './support/test'

// Ways to smuggle script into text, of the kinds that OWASP's page on filter evasion lists.
const HOSTILE = [
  '<script>document.title = "owned"</script>',
  '<SCRIPT SRC=//127.0.0.1:1/x.js></SCRIPT>',
  '<img src=x onerror="document.title=\'owned\'">',
  '<img src="javascript:document.title=\'owned\'">',
  '<IMG """><SCRIPT>document.title="owned"</SCRIPT>">',
  '<svg onload=document.title="owned">',
  '<svg><script>document.title="owned"</script></svg>',
  '<body onload=document.title="owned">',
  '<iframe src="javascript:parent.document.title=\'owned\'"></iframe>',
  '<iframe srcdoc="<script>parent.document.title=1</script>"></iframe>',
  '<a href="javascript:document.title=\'owned\'">click</a>',
  '<a href="jav&#x09;ascript:document.title=1">click</a>',
  '<object data="data:text/html,<script>1</script>"></object>',
  '<embed src="data:image/svg+xml;base64,PHN2Zy8+">',
  '<style>@import "//127.0.0.1:1/x.css";</style>',
  '<div style="background:url(javascript:1)">x</div>',
  '<input autofocus onfocus=document.title="owned">',
  '<details open ontoggle=document.title="owned">',
  '<meta http-equiv="refresh" content="0;url=javascript:document.title=1">',
  '<base href="//127.0.0.1:1/">',
  '<form action="javascript:document.title=1"><button>go</button></form>',
  '<math><mtext><mglyph><style><img src=x onerror=document.title=1>',
  '[click me](javascript:document.title="owned")',
  '[click me](JaVaScRiPt:document.title="owned")',
  '[click me](data:text/html;base64,PHNjcmlwdD4xPC9zY3JpcHQ+)',
  '[click me](vbscript:msgbox(1))',
  '[click me](\u0001javascript:document.title=1)',
  '![x](javascript:document.title="owned")',
  '![x](x" onerror="document.title=1)',
  '<javascript:document.title=1>',
  '`</code><script>document.title=1</script>`',
  '```"><script>document.title=1</script>\ncode\n```',
  '&lt;script&gt;document.title=1&lt;/script&gt;',
  '\u202e<script>document.title=1</script>',
  '@alice<img src=x onerror=document.title=1>',
]

test('hostile texts are text: in messages, names and topics', async ({ gateway, enter }) => {
  const mallory = await Person.register(gateway, 'mallory', '<img src=x onerror=alert(1)>')
  await Person.register(gateway, 'alice')
  await mallory.createChannel('<svg onload=alert(1)>', 'public', '<script>alert(1)</script>')
  await mallory.join(1)
  for (const text of HOSTILE) await mallory.say(1, text)
  const { page } = await enter('alice', { path: '/c/1' })
  const asked: string[] = []
  page.on('request', (request) => asked.push(request.url()))
  page.on('dialog', (dialog) => asked.push(dialog.message()))
  await expect(page.locator('[data-message]').last()).toContainText('@alice')
  const list = page.getByRole('log')
  // Every row is looked at, scrolling up.
  for (let step = 0; step < 40; step++) {
    const found = await list.evaluate((log) => {
      const bad: string[] = []
      for (const element of log.querySelectorAll('[id$="-body"] *')) {
        if (
          /^(script|iframe|object|embed|style|form|input|base|meta|img|math|body)$/i.test(
            element.tagName,
          )
        )
          bad.push(element.outerHTML)
        for (const { name, value } of element.attributes) {
          if (name.startsWith('on') || name === 'srcdoc') bad.push(element.outerHTML)
          if (/^(href|src|action|data)$/.test(name) && !/^(https?:|mailto:)/i.test(value))
            bad.push(element.outerHTML)
        }
      }
      log.scrollTop -= log.clientHeight / 2
      return bad
    })
    expect(found).toEqual([])
    await page.waitForTimeout(30)
  }
  for (const link of await page.getByRole('link', { name: 'click' }).all())
    await link.click({ trial: true }).catch(() => undefined)
  await expect(page).not.toHaveTitle(/owned|^1$/)
  expect(asked.filter((url) => !url.startsWith(gateway.url) && !url.startsWith('ws:'))).toEqual([])
})

test('long names, long words and other scripts fit on a phone', async ({ gateway, enter }) => {
  const long = await Person.register(gateway, 'long', 'W'.repeat(64))
  const name = 'M'.repeat(80)
  const channel = await long.createChannel(name, 'public', 'T'.repeat(250))
  await Person.register(gateway, 'alice').then((alice) => alice.join(channel))
  for (const text of [
    'x'.repeat(4000),
    `https://example.org/${'a'.repeat(500)}`,
    `\`\`\`\n${'code '.repeat(100)}\n\`\`\``,
    `| ${'head | '.repeat(12)}\n|${'-|'.repeat(12)}\n| ${'cell | '.repeat(12)}`,
    'مرحبا بالعالم!',
    '👨‍👩‍👧‍👦🏳️‍🌈👍🏽'.repeat(20),
  ])
    await long.say(channel, text)
  const { page } = await enter('alice', {
    path: `/c/${channel}`,
    viewport: { width: 360, height: 740 },
    hasTouch: true,
    isMobile: true,
  })
  await expect(page.getByText('مرحبا بالعالم!')).toBeVisible()
  expect(
    await page.getByText('مرحبا بالعالم!').evaluate((p) => getComputedStyle(p).unicodeBidi),
  ).toBe('plaintext')
  // Text that is cut off at the edge, not by an ellipsis and not by a block that scrolls sideways.
  const cut = () =>
    page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>('main p, main h1, main h2, main a')]
        .filter((element) => element.closest('.truncate, pre, .sr-only') === null)
        .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
        .map(({ outerHTML }) => outerHTML.slice(0, 120)),
    )
  for (let step = 0; step < 25; step++) {
    expect(await cut()).toEqual([])
    await page.getByRole('log').evaluate((log) => (log.scrollTop -= log.clientHeight / 2))
    await page.waitForTimeout(30)
  }
  await expect(page.getByText(name, { exact: false }).first()).toBeVisible()
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360)
})

test('a browser that refuses storage and locks can be used, but for what outlives the page', async ({
  gateway,
  browser,
}) => {
  const bob = await Person.register(gateway, 'bob')
  await Person.register(gateway, 'alice')
  await bob.join(1)
  const context = await browser.newContext()
  await context.addInitScript(() => {
    const refused = () => {
      throw new DOMException('refused', 'SecurityError')
    }
    for (const name of ['indexedDB', 'localStorage', 'sessionStorage'])
      Object.defineProperty(window, name, { get: refused })
    Object.defineProperty(navigator.locks, 'request', {
      value: () => Promise.reject(new DOMException('refused', 'SecurityError')),
    })
  })
  const client = new Client(await context.newPage(), gateway)
  await client.logIn('alice', '/c/1')
  await client.say('without any storage')
  await expect(client.message('without any storage')).toHaveAttribute('data-state', 'sent')
  await bob.say(1, 'heard')
  await expect(client.message('heard')).toBeVisible()
  await client.page.goto(`${gateway.url}/settings`)
  await client.page.getByText('Dark', { exact: true }).click()
  await expect(client.page.locator('html')).toHaveClass(/dark/)
  expect(client.faults).toEqual([])
  await context.close()
})
