import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'

import { check } from '../check.mjs'
import { MOVED, bar, sidebar } from '../sections.mjs'
import { read, stage, turned } from '../stage.mjs'

/** A folder with these files. @param {Record<string, string>} files */
function folder(files) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'site-'))
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
    fs.writeFileSync(path.join(root, name), text)
  }
  return root
}

const REPOSITORY = {
  'README.md': '# STORM\n\n[operations](docs/operations.md#start), [all](docs/index.md)\n',
  'docs/index.md': '# Documents\n\n[README](../README.md)\n',
  'docs/operations.md': '# Operations\n\n## Start\n\n[unit](../deploy/storm.service)\n',
  'docs/guides/new.md': '# A guide\n\n[up](../operations.md), [why](../decisions/)\n',
  'docs/decisions/0001-first.md': '# 1. First\n',
  'deploy/storm.service': '[Service]\n',
  'frontend/public/favicon.svg': '<svg/>',
}

test('links become those of the site, wherever a document stands', () => {
  const { pages, faults } = read(folder(REPOSITORY))
  assert.deepEqual(faults, [])
  assert.match(pages.get('readme.md') ?? '', /\(\/operations#start\).*\(\/documents\)/)
  assert.match(pages.get('documents.md') ?? '', /\[README\]\(\/readme\)/)
  assert.match(pages.get('guides/new.md') ?? '', /\(\/operations\), \[why\]\(\/decisions\/\)/)
})

test('a file that is no page is copied and can be read', () => {
  const root = folder(REPOSITORY)
  const { pages, files } = read(root)
  assert.match(pages.get('operations.md') ?? '', /\(\/files\/deploy\/storm\.service\.txt\)/)
  assert.equal(files.get('files/deploy/storm.service.txt'), 'deploy/storm.service')
  stage(root, path.join(root, 'pages'), true)
  const copy = path.join(root, 'pages/public/files/deploy/storm.service.txt')
  assert.equal(fs.readFileSync(copy, 'utf8'), '[Service]\n')
})

test('a folder becomes a page that lists it', () => {
  const { pages } = read(folder(REPOSITORY))
  assert.match(pages.get('decisions/index.md') ?? '', /\[1\. First\]\(\/decisions\/0001-first\)/)
})

test('a link that leads nowhere is refused with its document', () => {
  const broken = { ...REPOSITORY, 'docs/guides/new.md': '# A guide\n\n[x](../nothing.md)\n' }
  const root = folder(broken)
  assert.deepEqual(read(root).faults, ['docs/guides/new.md: ../nothing.md'])
  assert.throws(() => stage(root, path.join(root, 'pages'), true), /guides\/new\.md: \.\.\/nothing/)
  // Whoever writes sees the rest.
  assert.ok(stage(root, path.join(root, 'pages'), false).has('guides/new.md'))
})

test('what stands in code stays as it is', () => {
  const text = '`[a](b)` [c](d)\n\n```md\n[e](f)\n```\n\n    <img src="g">\n'
  const said = turned(text, (href) => `/${href}`)
  assert.equal(said, '`[a](b)` [c](/d)\n\n```md\n[e](f)\n```\n\n    <img src="/g">\n')
})

test('each page is in the sidebar once, named or not', () => {
  const { titles } = read(folder({ ...REPOSITORY, 'docs/unheard-of.md': '# Unheard of\n' }))
  const links = sidebar(titles).flatMap(({ items }) => items.map(({ link }) => link))
  assert.equal(new Set(links).size, links.length)
  assert.equal(links.length, titles.size)
  const groups = Object.fromEntries(sidebar(titles).map(({ text, items }) => [text, items]))
  assert.deepEqual(groups.More, [{ text: 'Unheard of', link: '/unheard-of' }])
  assert.deepEqual(groups.Guides, [{ text: 'A guide', link: '/guides/new' }])
})

test('the pages that stand elsewhere are there', () => {
  for (const name of Object.keys(MOVED)) {
    assert.ok(fs.existsSync(path.join(import.meta.dirname, '../..', name)), name)
  }
})

test('the check finds what leads nowhere: pages, files, images, anchors', () => {
  const page = (/** @type {string} */ body) => `<html><body><h1>x</h1>${body}</body></html>`
  const good = {
    'index.html': page('<a href="/a">a</a><a href="a#b%C3%A9">b</a><img src="/p.png">'),
    'a.html': page('<h2 id="bé">b</h2><a href="./">up</a><a href="https://x.example/">x</a>'),
    'p.png': '',
  }
  assert.deepEqual(check(folder(good)), { faults: [], pages: 2, links: 4 })
  for (const [wrong, fault] of [
    ['<a href="/c">', '/c: no such page or file'],
    ['<a href="/a#c">', '/a#c: no such heading'],
    ['<img src="q.png">', 'q.png: no such page or file'],
    ['<source srcset="/r.png">', '/r.png: no such page or file'],
  ]) {
    const { faults } = check(folder({ ...good, 'w.html': page(wrong ?? '') }))
    assert.deepEqual(faults, [`w.html: ${fault}`])
  }
  const { faults } = check(folder({ ...good, 'e.html': '<html><body></body></html>' }))
  assert.match(faults.join(), /^e\.html: it has no heading/)
})

test('the bar shows groups that have pages, in both languages', () => {
  const { titles } = read(folder(REPOSITORY))
  const texts = (/** @type {boolean} */ french) => bar(titles, french).map(({ text }) => text)
  assert.deepEqual(texts(false), ['Tutorial', 'Guides', 'Operations'])
  assert.deepEqual(texts(true), ['Tutoriel', 'Guides', 'Exploitation'])
})
