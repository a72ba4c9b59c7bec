import { defineConfig, mergeConfig } from 'vitest/config'

import vite from './vite.config'

export default mergeConfig(
  vite,
  defineConfig({
    test: {
      environment: 'happy-dom',
      include: ['src/**/__tests__/*.spec.ts'],
      restoreMocks: true,
      // As a text, for the test of the colours; otherwise styles are left out.
      css: { include: [/\.css\?raw$/] },
      coverage: {
        provider: 'v8',
        include: ['src/**/*.{ts,vue}'],
        exclude: ['src/main.ts', 'src/**/__tests__/**', 'src/protocol/**'],
      },
    },
  }),
)
