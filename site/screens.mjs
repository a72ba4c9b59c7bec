/** Pictures of the built site into docs/screenshots/site-*.png, with the browser of the web client's
 * tests: CHROMIUM=$(sh ../frontend/scripts/chromium.sh) node screens.mjs */

import { createRequire } from 'node:module'
import path from 'node:path'

import { preview } from 'vite'

/** @type {import('../frontend/node_modules/@playwright/test')} */
const { chromium } = createRequire(path.resolve('../frontend/package.json'))('@playwright/test')

const DESKTOP = { width: 1280, height: 860 }
const PHONE = { width: 390, height: 844 }
const PICTURES = /** @type {const} */ ([
  ['home-light', '/', 'light', DESKTOP],
  ['home-dark', '/', 'dark', DESKTOP],
  ['home-phone', '/', 'dark', PHONE],
  ['guide-light', '/guides/from-sse', 'light', DESKTOP],
  ['guide-phone', '/guides/bot', 'light', PHONE],
  ['guide-dark', '/guides/proxies', 'dark', DESKTOP],
  ['reference-dark', '/api#close-codes', 'dark', DESKTOP],
  ['search-light', '/delivery', 'light', DESKTOP],
  ['french-light', '/fr/', 'light', DESKTOP],
])

const server = await preview({
  build: { outDir: '../build/site' },
  preview: { port: 0, host: '127.0.0.1' },
})
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || undefined,
  args: ['--no-sandbox'],
})
try {
  for (const [name, address, colorScheme, viewport] of PICTURES) {
    const page = await browser.newPage({ colorScheme, viewport, reducedMotion: 'reduce' })
    page.on('pageerror', (error) => {
      throw new Error(`${address}: ${error.message}`)
    })
    await page.goto(new URL(address, server.resolvedUrls?.local[0]).href, {
      waitUntil: 'networkidle',
    })
    if (name.startsWith('search')) {
      await page.keyboard.press('Control+k')
      await page.locator('.VPLocalSearchBox input').fill('slow reader')
      await page.locator('.VPLocalSearchBox .result').first().waitFor()
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)
    if (wide) throw new Error(`${address} is wider than its window (${viewport.width})`)
    await page.screenshot({ path: `../docs/screenshots/site-${name}.png` })
    await page.close()
  }
} finally {
  await browser.close()
  await server.close()
}
