import DOMPurify from 'dompurify'
import MarkdownIt from 'markdown-it'

/** What a message is made of: prose as safe HTML, and blocks of code to be shown as text. */
export type Segment =
  { kind: 'html'; html: string } | { kind: 'code'; code: string; language: string }

/** `self`: the id of the user who reads. */
type Surroundings = Record<string, unknown> & { self: string | null }

type Token = ReturnType<typeof markdown.parse>[number]

const SCHEMES = /^(?:https?:\/\/|mailto:)/i
const MENTION = /^@[A-Za-z0-9](?:[A-Za-z0-9._\-+@]{0,62}[A-Za-z0-9])?/
const WORD = /[A-Za-z0-9._\-+/@]/

const markdown = new MarkdownIt('default', { html: false, linkify: true, breaks: true })

// In a chat, spaces in front of a line are a slip and dashes below it a rule, not code and titles.
markdown.disable(['code', 'lheading', 'reference'])
markdown.validateLink = (url) => SCHEMES.test(url.trim())

// "setup.py" is no site in Paraguay: only what says that it is an address becomes a link.
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: true })
markdown.linkify.add('www.', {
  validate: (text, position) =>
    /^[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?:[/?#][^\s<>"]*[^\s<>".,;:!?')\]])?/.exec(
      text.slice(position),
    )?.[0].length ?? 0,
  normalize: (match) => {
    match.url = `https://${match.url}`
  },
})

markdown.inline.ruler.push('mention', (state, silent) => {
  if (state.src.charCodeAt(state.pos) !== 0x40 /* @ */) return false
  if (state.pos > 0 && WORD.test(state.src.charAt(state.pos - 1))) return false
  const found = MENTION.exec(state.src.slice(state.pos, state.posMax))?.[0]
  if (found === undefined) return false
  if (!silent) {
    const token = state.push('mention', 'span', 0)
    token.content = found
  }
  state.pos += found.length
  return true
})

const { rules } = markdown.renderer
const { escapeHtml } = markdown.utils

rules.mention = (tokens, index, _options, env) => {
  const name = tokens[index]?.content ?? ''
  const own = name.slice(1) === env?.self
  return `<span class="${own ? 'mention mention-self' : 'mention'}">${escapeHtml(name)}</span>`
}

// A picture from elsewhere would tell its host who reads, and when.
rules.image = (tokens, index) => {
  const token = tokens[index]
  const source = String(token?.attrGet('src') ?? '')
  return `<a href="${escapeHtml(source)}">${escapeHtml(token?.content || source)}</a>`
}

// A message is no document: its titles must not stand among those of the page.
rules.heading_open = () => '<p><strong>'
rules.heading_close = () => '</strong></p>\n'

const TAGS =
  'p br strong em s code pre blockquote ul ol li hr a span table thead tbody tr th td'.split(' ')
const CLASSES = new Set(['mention', 'mention mention-self'])

const purifier = DOMPurify(window)
purifier.addHook('afterSanitizeAttributes', (node) => {
  if (node.hasAttribute('class') && !CLASSES.has(node.className)) node.removeAttribute('class')
  if (node.tagName !== 'A') return
  node.setAttribute('target', '_blank')
  node.setAttribute('rel', 'noopener noreferrer nofollow')
})

/** The one function whose output may reach `v-html`. */
export function sanitise(html: string): string {
  return purifier.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ['href', 'class', 'start'],
    ALLOWED_URI_REGEXP: SCHEMES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  })
}

function segmentsOf(payload: string, env: Surroundings): Segment[] {
  const segments: Segment[] = []
  let prose: Token[] = []
  const flush = (): void => {
    if (prose.length === 0) return
    const html = sanitise(markdown.renderer.render(prose, markdown.options, env))
    segments.push({ kind: 'html', html })
    prose = []
  }
  for (const token of markdown.parse(payload, env)) {
    if (token.type === 'fence' && token.level === 0) {
      flush()
      const language = token.info.trim().split(/\s+/, 1)[0] ?? ''
      segments.push({ kind: 'code', code: token.content.replace(/\n$/, ''), language })
    } else prose.push(token)
  }
  flush()
  return segments
}

// A list that scrolls shows the same messages again and again.
const REMEMBERED = 2_000
const remembered = new Map<string, Segment[]>()

/** A message's text as what can be shown; `self` is the reader's own id. */
export function renderMarkdown(payload: string, self: string | null = null): Segment[] {
  const key = `${self ?? ''}\u0000${payload}`
  let segments = remembered.get(key)
  if (segments === undefined) {
    segments = segmentsOf(payload, { self })
    if (remembered.size >= REMEMBERED) {
      const oldest = remembered.keys().next()
      if (!oldest.done) remembered.delete(oldest.value)
    }
    remembered.set(key, segments)
  }
  return segments
}

const EMOJI = String.raw`(?:\p{RI}\p{RI}|[0-9#*]\uFE0F?\u20E3|\p{Extended_Pictographic}(?:\uFE0F|\p{EMod})?(?:[\u{E0020}-\u{E007F}]+|(?:\u200D\p{Extended_Pictographic}(?:\uFE0F|\p{EMod})?)+)?)`
const ONLY_EMOJI = new RegExp(`^(?:${EMOJI}\\s*){1,6}$`, 'u')

/** Whether a message is nothing but a few emoji, which are then shown larger. */
export function isOnlyEmoji(payload: string): boolean {
  const text = payload.trim()
  return text.length > 0 && text.length <= 120 && ONLY_EMOJI.test(text)
}
