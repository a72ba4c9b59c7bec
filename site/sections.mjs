/** What the pages are called and where they stand in the navigation. A page that no list names is
 * found all the same: by its folder, else under "More". */

/** Pages that stand elsewhere in the repository than in docs/. */
export const MOVED = {
  'site/home.md': 'index.md',
  'README.md': 'readme.md',
  'README.fr.md': 'fr/index.md',
  'ARCHITECTURE.md': 'architecture.md',
  'CONTRIBUTING.md': 'contributing.md',
  'SECURITY.md': 'security.md',
  'CHANGELOG.md': 'changelog.md',
  'loadtest/README.md': 'loadtest.md',
  'deploy/README.md': 'shipped.md',
  'services/gateway/README.md': 'package.md',
  'docs/index.md': 'documents.md',
  'docs/load-tests/README.md': 'load-tests/index.md',
}

/** What the sidebar says where the page's own title says too little there. */
const TITLES = {
  'readme.md': 'README',
  'fr/index.md': 'README en français',
  'api.md': 'Protocol and HTTP API',
  'tutorial.md': 'Tutorial',
  'package.md': 'The Python package',
  'loadtest.md': 'Load tests: how',
  'load-tests/index.md': 'Load tests: reports',
  'documents.md': 'All documents',
  'performance.md': 'What was slow',
}

/** The groups of the sidebar in French; the pages are in English. */
const FRENCH = {
  Start: 'Pour commencer',
  Guides: 'Guides',
  Reference: 'Référence',
  Operations: 'Exploitation',
  Explanations: 'Explications',
  Proof: 'Preuves',
  Project: 'Projet',
  More: 'Autres',
}

/**
 * The groups of the sidebar. `pages` are in the order in which they are read; of `folder` comes
 * what they do not name, by its path.
 *
 * @type {{text: string, pages: string[], folder?: string, collapsed?: boolean}[]}
 */
export const SECTIONS = [
  { text: 'Start', pages: ['tutorial.md', 'web.md', 'readme.md', 'fr/index.md'] },
  {
    text: 'Guides',
    pages: [
      'guides/one-server.md',
      'guides/docker.md',
      'guides/kubernetes.md',
      'guides/proxies.md',
      'guides/monitoring.md',
      'guides/identity-provider.md',
      'guides/bot.md',
      'guides/from-sse.md',
    ],
    folder: 'guides/',
  },
  {
    text: 'Reference',
    pages: [
      'api.md',
      'client.md',
      'cli.md',
      'configuration.md',
      'metrics.md',
      'package.md',
      'glossary.md',
    ],
  },
  {
    text: 'Operations',
    pages: [
      'operations.md',
      'runbook.md',
      'capacity.md',
      'kernel.md',
      'shipped.md',
      'releases.md',
      'changelog.md',
      'security.md',
    ],
  },
  {
    text: 'Explanations',
    pages: ['delivery.md', 'engine.md', 'performance.md', 'architecture.md'],
  },
  {
    text: 'Proof',
    pages: [
      'audit.md',
      'chaos.md',
      'benchmarks.md',
      'benchmarks-cluster.md',
      'benchmarks-peers.md',
      'benchmarks-web.md',
      'loadtest.md',
      'load-tests/index.md',
    ],
    folder: 'load-tests/',
    collapsed: true,
  },
  {
    text: 'Project',
    pages: ['documents.md', 'contributing.md', 'decisions/index.md'],
    folder: 'decisions/',
    collapsed: true,
  },
]

/**
 * The sidebar of the pages that there are.
 *
 * @param {Map<string, string>} titles path in the site → title
 * @param {boolean} french
 */
export function sidebar(titles, french = false) {
  const left = new Set([...titles.keys()].sort())
  left.delete('index.md')
  const groups = SECTIONS.map(({ text, pages, folder, collapsed }) => {
    const named = pages.filter((page) => left.delete(page))
    const others = [...left].filter((page) => folder && page.startsWith(folder))
    others.forEach((page) => left.delete(page))
    return { text, collapsed, pages: [...named, ...others] }
  })
  groups.push({ text: 'More', collapsed: false, pages: [...left] })
  return groups
    .filter(({ pages }) => pages.length > 0)
    .map(({ text, collapsed, pages }) => ({
      text: french ? FRENCH[/** @type {keyof typeof FRENCH} */ (text)] : text,
      collapsed: collapsed ?? false,
      items: pages.map((page) => ({
        text: TITLES[/** @type {keyof typeof TITLES} */ (page)] ?? titles.get(page),
        link: address(page),
      })),
    }))
}

/**
 * The bar at the top: the tutorial, and the groups that one comes back to.
 *
 * @param {Map<string, string>} titles path in the site → title
 * @param {boolean} french
 */
export function bar(titles, french = false) {
  const shown = ['Guides', 'Reference', 'Operations', 'Explanations']
  const groups = sidebar(titles, french).filter((_, index) =>
    shown.includes(sidebar(titles)[index]?.text ?? ''),
  )
  return [
    { text: french ? 'Tutoriel' : 'Tutorial', link: '/tutorial' },
    ...groups.map(({ text, items }) => ({ text, items })),
  ]
}

/** Where the site shows a page. @param {string} page */
export function address(page) {
  return `/${page.replace(/(^|\/)index\.md$/, '$1').replace(/\.md$/, '')}`
}
