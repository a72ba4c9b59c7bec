import { fileURLToPath } from 'node:url'

import tailwindcss from '@tailwindcss/vite'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

import { precompress } from './scripts/precompress.ts'

// `make dev`: where the gateway listens that answers for the page.
const gateway = process.env.STORM_URL ?? 'http://127.0.0.1:8080'
const api = [
  '/auth',
  '/channels',
  '/direct',
  '/users',
  '/server',
  '/publish',
  '/healthz',
  '/readyz',
]

export default defineConfig({
  plugins: [vue(), tailwindcss(), precompress()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  build: {
    // Into the Python package: the gateway serves it from there.
    outDir: '../services/gateway/src/storm_gateway/web',
    emptyOutDir: true,
    target: 'es2022',
    // A data: URL would need a wider content security policy.
    assetsInlineLimit: 0,
    // Few files compress better than many small ones: what every page uses of libraries is one,
    // and what only a conversation uses comes with it.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            {
              name: 'libraries',
              test: /node_modules\/(?:@vue|vue|vue-router|vue-i18n|@intlify|pinia|reka-ui|@floating-ui|@lucide|@vueuse|idb)\//,
            },
            { name: 'shared', test: /src\/(?!locales)/, minShareCount: 3 },
          ],
        },
      },
    },
  },
  server: {
    port: 5173,
    proxy: {
      ...Object.fromEntries(api.map((path) => [path, { target: gateway }])),
      '/ws': { target: gateway, ws: true },
    },
  },
})
