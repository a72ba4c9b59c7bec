import { expect, type Locator, type Page } from '@playwright/test'

import type { Gateway } from './gateway'
import { PASSWORD } from './person'

/** What a person does in the page, in a person's words. */
export class Client {
  readonly faults: string[] = []

  constructor(
    readonly page: Page,
    readonly gateway: Gateway,
  ) {
    // An exception, or something that the content security policy had to stop.
    page.on('pageerror', (error) => this.faults.push(String(error)))
    page.on('console', (message) => {
      if (/content security policy/i.test(message.text())) this.faults.push(message.text())
    })
  }

  get composer(): Locator {
    return this.page.getByRole('textbox', { name: /^Write to / })
  }

  get rows(): Locator {
    return this.page.locator('[data-message]')
  }

  /** By the login page, as people do. */
  async logIn(userId: string, path = '/'): Promise<void> {
    await this.page.goto(this.gateway.url + path)
    await this.page.getByLabel('User name').fill(userId)
    await this.page.getByLabel('Password', { exact: true }).fill(PASSWORD)
    await this.page.getByRole('button', { name: 'Log in' }).click()
    await expect(this.page).not.toHaveURL(/\/login/)
  }

  async open(channelId: number): Promise<void> {
    await this.page.goto(`${this.gateway.url}/c/${channelId}`)
    await expect(this.composer).toBeVisible()
  }

  async say(text: string): Promise<void> {
    await this.composer.fill(text)
    await this.composer.press('Enter')
  }

  message(text: string): Locator {
    return this.rows.filter({ hasText: text })
  }

  /** Each message from the oldest that the page has to the newest, as one sees it when scrolling. */
  async readAll(): Promise<{ seq: number; text: string }[]> {
    return this.page.evaluate(async () => {
      const seen = new Map<number, string>()
      const list = document.querySelector('[role="log"]')
      if (list === null) throw new Error('there is no list of messages')
      const settle = () =>
        new Promise((wake) => requestAnimationFrame(() => requestAnimationFrame(wake)))
      const collect = () => {
        const order: number[] = []
        for (const row of list.querySelectorAll<HTMLElement>('[data-message][data-seq]')) {
          const seq = Number(row.dataset.seq)
          const text = row.querySelector('[id$="-body"] > *')?.textContent.trim() ?? ''
          if (order.includes(seq)) throw new Error(`seq ${seq} is on the screen twice`)
          order.push(seq)
          seen.set(seq, text)
        }
        if (order.some((seq, at) => at > 0 && seq < (order[at - 1] ?? 0)))
          throw new Error(`out of order on the screen: ${order.join(' ')}`)
      }
      // Upwards until nothing older is loaded, then down.
      for (let still = 0; still < 5;) {
        const before = [list.scrollTop, list.scrollHeight].join()
        list.scrollTop = 0
        await settle()
        await new Promise((wake) => setTimeout(wake, 50))
        still = [list.scrollTop, list.scrollHeight].join() === before ? still + 1 : 0
      }
      for (;;) {
        collect()
        const before = list.scrollTop
        list.scrollTop += list.clientHeight / 2
        await settle()
        if (list.scrollTop === before) break
      }
      collect()
      return [...seen].sort(([a], [b]) => a - b).map(([seq, text]) => ({ seq, text }))
    })
  }
}
