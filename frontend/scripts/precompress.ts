// Compressed copies beside the built files, made once at the highest level: the gateway sends them
// as they are and never compresses anything itself.

import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { extname, resolve } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

import type { Plugin } from 'vite'

const worthwhile = new Set([
  '.css',
  '.html',
  '.js',
  '.json',
  '.map',
  '.svg',
  '.txt',
  '.webmanifest',
])
// Below this an answer fits into one packet anyway.
const leastBytes = 1024

const brotli = promisify(brotliCompress)
const gzipped = promisify(gzip)

async function compress(path: string): Promise<void> {
  const body = await readFile(path)
  const copies: [string, Buffer][] = [
    [
      '.br',
      await brotli(body, {
        params: {
          [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
          [constants.BROTLI_PARAM_SIZE_HINT]: body.length,
        },
      }),
    ],
    ['.gz', await gzipped(body, { level: constants.Z_BEST_COMPRESSION })],
  ]
  for (const [ending, copy] of copies) {
    if (copy.length < body.length) await writeFile(path + ending, copy)
  }
}

/** Writes `name.br` and `name.gz` for each file of a build that gains by it. */
export function precompress(): Plugin {
  let folder = ''
  return {
    name: 'storm:precompress',
    apply: 'build',
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir)
    },
    closeBundle: {
      order: 'post',
      sequential: true,
      async handler() {
        const entries = await readdir(folder, { recursive: true })
        for (const path of entries.map((entry) => resolve(folder, entry))) {
          if (!worthwhile.has(extname(path))) continue
          const { size } = await stat(path)
          if (size >= leastBytes) await compress(path)
        }
      },
    },
  }
}
