/** Looks whether every link of the built site leads somewhere: pages, files, images and anchors.
 * `node check.mjs FOLDER`; what leads nowhere is printed, and the status is 1. */

import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

/** @param {string} folder the built site @returns {{faults: string[], pages: number, links: number}} */
export function check(folder) {
  const names = fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => name.split(path.sep).join('/'))
    .filter((name) => fs.statSync(path.join(folder, name)).isFile())
  const there = new Set(names)
  /** @type {Map<string, {ids: Set<string>, targets: string[], empty: boolean}>} */
  const pages = new Map()
  for (const name of names.filter((name) => name.endsWith('.html'))) {
    pages.set(name, parts(fs.readFileSync(path.join(folder, name), 'utf8')))
  }
  /** @type {Map<string, string[]>} */
  const wrong = new Map()
  const isWrong = (/** @type {string} */ fault, /** @type {string} */ page) =>
    wrong.set(fault, [...(wrong.get(fault) ?? []), page])
  let links = 0
  for (const [name, { targets, empty }] of pages) {
    // An error in a page leaves it empty, and the build goes on.
    if (empty && name !== '404.html') isWrong('it has no heading: was there an error above?', name)
    for (const target of new Set(targets)) {
      if (/^[a-z][a-z+.-]*:|^\/\//i.test(target)) continue
      links += 1
      const url = new URL(target, `http://site/${name}`)
      const file = fileOf(decodeURIComponent(url.pathname).slice(1), there)
      const anchor = decodeURIComponent(url.hash.slice(1))
      if (file === undefined) {
        isWrong(`${target}: no such page or file`, name)
      } else if (anchor && pages.has(file) && !pages.get(file)?.ids.has(anchor)) {
        isWrong(`${target}: no such heading`, name)
      }
    }
  }
  const faults = [...wrong].map(([fault, [first, ...others]]) =>
    others.length ? `${first} and ${others.length} more: ${fault}` : `${first}: ${fault}`,
  )
  return { faults, pages: pages.size, links }
}

/** What a server answers with for a path. @param {string} name @param {Set<string>} there */
function fileOf(name, there) {
  const tried = name === '' || name.endsWith('/') ? [`${name}index.html`] : [name, `${name}.html`]
  return tried.find((file) => there.has(file))
}

/** @param {string} html */
function parts(html) {
  const seen = html.replace(/<!--[^]*?-->|<(script|style)\b[^]*?<\/\1>/g, '')
  const all = (/** @type {string} */ names) =>
    [...seen.matchAll(new RegExp(`<[^>]*?\\s(?:${names})="([^"]*)"`, 'g'))].map((found) =>
      (found[1] ?? '').replaceAll('&amp;', '&'),
    )
  return {
    empty: !/<h1[ >]/.test(seen),
    ids: new Set(all('id')),
    targets: [...all('href'), ...all('src'), ...all('srcset')],
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { faults, pages, links } = check(process.argv[2] ?? '.')
  faults.forEach((fault) => console.error(fault))
  console.log(`site: ${pages} pages, ${links} links, ${faults.length} lead nowhere`)
  process.exit(faults.length > 0 || pages === 0 ? 1 : 0)
}
