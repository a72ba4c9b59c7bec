import path from 'node:path'

import { defineConfig } from 'vitepress'

import { bar, sidebar } from '../sections.mjs'
import { stage } from '../stage.mjs'

const root = path.resolve(import.meta.dirname, '../..')
// Beside node_modules, where the pages' code is looked for.
const pages = path.join(root, 'site/pages')
const titles = stage(root, pages, process.argv.includes('build'))

/** The anchors that a repository's page gives to headings, so that one link fits both. */
function slugify(heading: string): string {
  return heading
    .toLowerCase()
    .trim()
    .replace(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-')
}

const FRENCH_SEARCH = {
  button: { buttonText: 'Rechercher', buttonAriaLabel: 'Rechercher' },
  modal: {
    displayDetails: 'Montrer le détail',
    resetButtonTitle: 'Effacer',
    backButtonTitle: 'Fermer',
    noResultsText: 'Rien trouvé pour',
    footer: { navigateText: 'parcourir', selectText: 'ouvrir', closeText: 'fermer' },
  },
}

const HTML_OF_PAGES = /^<\/?(a|br|details|div|img|kbd|picture|source|sub|summary|sup)\b/

export default defineConfig({
  title: 'STORM',
  description: 'A self-hosted messaging back end: what it acknowledges is on disk.',
  lang: 'en',
  srcDir: pages,
  outDir: path.join(root, 'build/site'),
  cacheDir: path.join(root, 'build/site-cache'),
  cleanUrls: true,
  head: [['link', { rel: 'icon', href: '/favicon.svg', type: 'image/svg+xml' }]],
  // Files that were copied beside the pages; check.mjs looks at them.
  ignoreDeadLinks: [/^\/files\//],

  locales: {
    root: { label: 'English', lang: 'en' },
    fr: {
      label: 'Français',
      lang: 'fr',
      themeConfig: {
        nav: bar(titles, true),
        sidebar: sidebar(titles, true),
        docFooter: { prev: 'Avant', next: 'Ensuite' },
        outline: { level: [2, 3], label: 'Sur cette page' },
        darkModeSwitchLabel: 'Apparence',
        lightModeSwitchTitle: 'Passer au clair',
        darkModeSwitchTitle: 'Passer au sombre',
        sidebarMenuLabel: 'Menu',
        returnToTopLabel: 'Haut de page',
        langMenuLabel: 'Langue',
      },
    },
  },

  markdown: {
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    anchor: { slugify },
    // A report may end a line with something in braces; that is text, too.
    attrs: { disable: true },
    languageAlias: { ws: 'jsonl', console: 'shellsession' },
    config(md) {
      // Documents are text, no templates of Vue: braces of other tools and words in angle
      // brackets are shown as they stand.
      for (const kind of ['text', 'code_inline'] as const) {
        const render = md.renderer.rules[kind] as NonNullable<typeof md.renderer.rules.text>
        md.renderer.rules[kind] = (...args) => render(...args).replaceAll('{{', '&#123;&#123;')
      }
      const inline = md.renderer.rules.html_inline as NonNullable<typeof md.renderer.rules.text>
      md.renderer.rules.html_inline = (...args) => {
        const [tokens, index] = args
        const content = tokens[index]?.content ?? ''
        return HTML_OF_PAGES.test(content) || content.startsWith('<!--')
          ? inline(...args)
          : md.utils.escapeHtml(content)
      }
    },
  },

  themeConfig: {
    logo: '/favicon.svg',
    i18nRouting: false,
    outline: { level: [2, 3] },
    search: {
      provider: 'local',
      options: {
        miniSearch: { searchOptions: { boost: { title: 6, titles: 3, text: 1 } } },
        locales: { fr: { translations: FRENCH_SEARCH } },
      },
    },
    nav: bar(titles),
    sidebar: sidebar(titles),
    docFooter: { prev: 'Before', next: 'Next' },
  },
})
