import { existsSync } from 'node:fs'

import { defineConfig } from '@playwright/test'

const installed = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path !== undefined && path !== '' && existsSync(path))

export default defineConfig({
  testDir: 'e2e',
  // A gateway of its own for each test: they may run side by side.
  fullyParallel: true,
  workers: 2,
  timeout: 90_000,
  expect: { timeout: 10_000 },
  forbidOnly: true,
  reporter: [['list']],
  projects: [
    { name: 'tests', testMatch: '**/*.spec.ts' },
    // Made on demand: pictures for the documents, and figures.
    { name: 'screens', testMatch: '**/*.screens.ts', workers: 1 },
    { name: 'measures', testMatch: '**/*.measures.ts', workers: 1 },
  ],
  use: {
    locale: 'en-GB',
    timezoneId: 'UTC',
    viewport: { width: 1280, height: 800 },
    trace: 'retain-on-failure',
    launchOptions: {
      ...(installed === undefined ? {} : { executablePath: installed }),
      args: ['--no-sandbox', '--disable-gpu'],
    },
  },
})
