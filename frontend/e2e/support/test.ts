import { expect, test as base, type Browser, type BrowserContextOptions } from '@playwright/test'

import { Gateway } from './gateway'
import { Client } from './page'
import { Person } from './person'

export { Client, expect, Gateway, Person }

interface Fixtures {
  settings: Record<string, string>
  gateway: Gateway
  /** A person with a browser of their own, logged in. */
  enter: (userId: string, options?: BrowserContextOptions & { path?: string }) => Promise<Client>
}

async function client(
  browser: Browser,
  gateway: Gateway,
  options: BrowserContextOptions,
): Promise<Client> {
  const context = await browser.newContext(options)
  return new Client(await context.newPage(), gateway)
}

export const test = base.extend<Fixtures>({
  settings: [{}, { option: true }],
  gateway: async ({ settings }, use) => {
    const gateway = await Gateway.start(settings)
    await use(gateway)
    await gateway.remove()
  },
  enter: async ({ browser, gateway }, use) => {
    const clients: Client[] = []
    await use(async (userId, { path, ...options } = {}) => {
      const entered = await client(browser, gateway, options)
      clients.push(entered)
      await entered.logIn(userId, path)
      return entered
    })
    for (const entered of clients) await entered.page.context().close()
    // Whatever a test looks at: no page may have thrown, or tried what the policy forbids.
    expect(clients.flatMap(({ faults }) => faults)).toEqual([])
  },
})
