/** Lays out the pages of the site, from the documents as they stand in the repository.
 *
 * The documents are written to be read in the repository, too, so their links are paths there. Here
 * each is turned into its path in the site. A file that is no page (a configuration, a source) is
 * copied and can be read as it is; a folder gets a page that lists its files. */

import fs from 'node:fs'
import path from 'node:path'

import { MOVED, address } from './sections.mjs'

const FILES = 'files/'
/** Not linked by a document: path in the site → path in the repository. */
const ALWAYS = { 'favicon.svg': 'frontend/public/favicon.svg' }
/** Files that a browser would run, or download, instead of showing them. */
const SHOWN_AS_TEXT = /\.(?!(?:png|svg|jpe?g|webp|json|yaml|yml|txt|pdf)$)[^./]+$/
const FOLDERS_LEFT_OUT = new Set(['node_modules', '__pycache__', 'build', 'dist'])

/**
 * @param {string} root the repository
 * @param {string} into a folder that is made anew
 * @param {boolean} strict refuse links that lead nowhere; a writer's preview shows the rest
 * @returns {Map<string, string>} path in the site → title
 */
export function stage(root, into, strict) {
  const { pages, titles, files, faults } = read(root)
  if (strict && faults.length > 0) {
    throw new Error(`Links that lead nowhere:\n  ${faults.join('\n  ')}`)
  }
  fs.rmSync(into, { recursive: true, force: true })
  for (const [page, text] of pages) {
    write(path.join(into, page), text)
  }
  for (const [target, file] of [...files, ...Object.entries(ALWAYS)]) {
    const copy = path.join(into, 'public', target)
    fs.mkdirSync(path.dirname(copy), { recursive: true })
    fs.copyFileSync(path.join(root, file), copy)
  }
  return titles
}

/** All pages with their links turned, and what else they need. @param {string} root */
export function read(root) {
  const sources = new Map(documents(root).map((file) => [file, placeOf(file)]))
  /** @type {Map<string, string>} */
  const pages = new Map()
  /** @type {Map<string, string>} */
  const titles = new Map()
  /** @type {Map<string, string>} */
  const files = new Map()
  /** @type {string[]} */
  const faults = []
  /** @type {Set<string>} */
  const folders = new Set()

  const turnFor = (/** @type {string} */ source) => (/** @type {string} */ href) => {
    if (/^([a-z][a-z+.-]*:|#|\/)/i.test(href)) return href
    const [name = '', anchor] = href.split('#')
    const target = path.posix.normalize(path.posix.join(path.posix.dirname(source), name))
    const suffix = anchor === undefined ? '' : `#${anchor}`
    const file = target.replace(/\/$/, '')
    const page = sources.get(file) ?? sources.get(`${file}/README.md`)
    if (page) return address(page) + suffix
    const found = fs.statSync(path.join(root, file), { throwIfNoEntry: false })
    if (file.startsWith('..') || !found) {
      faults.push(`${source}: ${href}`)
      return '/favicon.svg#nowhere'
    }
    if (found.isDirectory()) {
      folders.add(file)
      return address(listing(file))
    }
    const copy = FILES + file.replace(SHOWN_AS_TEXT, '$&.txt')
    files.set(copy, file)
    return `/${copy}${suffix}`
  }

  const add = (
    /** @type {string} */ source,
    /** @type {string} */ page,
    /** @type {string} */ text,
  ) => {
    pages.set(page, turned(text, turnFor(source)))
    titles.set(page, titleOf(text) ?? page)
  }
  for (const [source, page] of sources) {
    add(source, page, fs.readFileSync(path.join(root, source), 'utf8'))
  }
  for (const folder of folders) {
    add(`${folder}/index.md`, listing(folder), listingText(root, folder))
  }
  for (const folder of folders) {
    if (!listing(folder).startsWith('decisions/')) titles.delete(listing(folder))
  }
  return { pages, titles, files, faults }
}

/** The documents, as paths in the repository. @param {string} root */
function documents(root) {
  const found = fs
    .readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name.split(path.sep).join('/')}`)
  const moved = Object.keys(MOVED).filter((name) => fs.existsSync(path.join(root, name)))
  return [...new Set([...moved, ...found])]
}

/** @param {string} file */
function placeOf(file) {
  return MOVED[/** @type {keyof typeof MOVED} */ (file)] ?? file.replace(/^docs\//, '')
}

/** The page that lists a folder. @param {string} folder */
function listing(folder) {
  return folder.startsWith('docs/') ? `${folder.slice(5)}/index.md` : `${FILES}${folder}/index.md`
}

/** @param {string} root @param {string} folder */
function listingText(root, folder) {
  const names = fs
    .readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(path.join(root, folder), path.join(entry.parentPath, entry.name)))
    .map((name) => name.split(path.sep).join('/'))
    .filter((name) => !name.split('/').some((part) => FOLDERS_LEFT_OUT.has(part)))
    .sort()
  const rows = names.map((name) => {
    const title =
      name.endsWith('.md') && titleOf(fs.readFileSync(path.join(root, folder, name), 'utf8'))
    return `- [${title || `\`${name}\``}](${name})`
  })
  const title = folder === 'docs/decisions' ? 'Decisions' : `\`${folder}\``
  return `# ${title}\n\n${rows.join('\n')}\n`
}

/** @param {string} text */
function titleOf(text) {
  return /^# (.+)$/m.exec(text)?.[1]?.replaceAll('`', '')
}

/** The text with every link outside of code turned. */
export function turned(/** @type {string} */ text, /** @type {(href: string) => string} */ turn) {
  return text
    .split(/(^ *(?<fence>```+|~~~+)[^]*?^ *\k<fence>|`[^`\n]+`)/m)
    .map((part, index) => {
      if (index % 3 === 1) return part
      if (index % 3 === 2) return '' // the name of the fence, which is in the code already
      return part
        .replace(/(\]\()([^()\s]+)((?: "[^"]*")?\))/g, (_, a, href, b) => a + turn(href) + b)
        .replace(/^(\[[^\]]+\]: )(\S+)/gm, (_, a, href) => a + turn(href))
        .replace(/\b((?:src|srcset|href)=")([^"]+)(")/g, (_, a, href, b) => a + turn(href) + b)
    })
    .join('')
}

/** @param {string} file @param {string} text */
function write(file, text) {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
}
