import { describe, expect, it } from 'vitest'

import './faithfulDom'
import { isOnlyEmoji, renderMarkdown } from '@/composables/useMarkdown'

const html = (payload: string, self: string | null = null): string =>
  renderMarkdown(payload, self)
    .map((segment) => (segment.kind === 'html' ? segment.html : ''))
    .join('')

describe('Markdown of a message', () => {
  it('shows emphasis, lists, quotes and code', () => {
    expect(html('**bold** and *soft* and `code`')).toContain('<strong>bold</strong>')
    expect(html('- one\n- two')).toContain('<li>two</li>')
    expect(html('> said')).toContain('<blockquote>')
  })

  it('keeps the line breaks that people type', () => {
    expect(html('one\ntwo')).toMatch(/one<br>\s*two/)
  })

  it('takes fenced code out of the prose, as text', () => {
    const segments = renderMarkdown('look:\n```python\nprint("<b>")\n```\nnice')
    expect(segments.map(({ kind }) => kind)).toEqual(['html', 'code', 'html'])
    expect(segments[1]).toEqual({ kind: 'code', code: 'print("<b>")', language: 'python' })
  })

  it('opens links elsewhere, without telling where one comes from', () => {
    const link = html('see https://example.org/a?b=c.')
    expect(link).toContain('href="https://example.org/a?b=c"')
    expect(link).toContain('target="_blank"')
    expect(link).toContain('rel="noopener noreferrer nofollow"')
    expect(html('www.ubuntu.com/download')).toContain('href="https://www.ubuntu.com/download"')
  })

  it('leaves file names alone that could be hosts', () => {
    expect(html('run setup.py, then read README.md')).not.toContain('<a')
  })

  it('shows a picture from elsewhere as a link to it', () => {
    const shown = html('![a cat](https://example.org/cat.png)')
    expect(shown).not.toContain('<img')
    expect(shown).toContain('href="https://example.org/cat.png"')
    expect(shown).toContain('>a cat</a>')
  })

  it('makes no titles of the page from titles in a message', () => {
    expect(html('# Big')).not.toMatch(/<h\d/)
    expect(html('# Big')).toContain('Big')
  })

  it('marks mentions, and one’s own more', () => {
    expect(html('hi @bob', 'alice')).toContain('<span class="mention">@bob</span>')
    expect(html('hi @alice!', 'alice')).toContain(
      '<span class="mention mention-self">@alice</span>',
    )
    expect(html('thanks @bob.', 'alice')).toContain('>@bob</span>.')
    expect(html('write to me@example.org', 'example')).not.toContain('mention')
    expect(html('`@bob`', 'bob')).not.toContain('mention')
  })

  it('knows messages of nothing but emoji', () => {
    for (const text of ['👍', '👍🏽 🎉', '👩‍👩‍👧', '🇫🇷', '❤️', '1️⃣', '🏴󠁧󠁢󠁳󠁣󠁴󠁿'])
      expect(isOnlyEmoji(text), text).toBe(true)
    for (const text of ['', '1', '#', 'ok 👍', '👍👍👍👍👍👍👍', '*'])
      expect(isOnlyEmoji(text), text).toBe(false)
  })
})
