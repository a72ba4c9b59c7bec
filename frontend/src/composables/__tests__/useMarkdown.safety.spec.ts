import { beforeEach, describe, expect, it } from 'vitest'

import './faithfulDom'
import { renderMarkdown, sanitise } from '@/composables/useMarkdown'
import { hostileMarkup } from './hostileMarkup'

// What the DOM of these tests parses or takes apart otherwise than a browser.
const NESTED = /<(?:form|frameset|<|img """)/
const ELEMENTS = new Set(
  'P BR STRONG EM S CODE PRE BLOCKQUOTE UL OL LI HR A SPAN TABLE THEAD TBODY TR TH TD'.split(' '),
)
const ATTRIBUTES: Record<string, RegExp> = {
  href: /^(?:https?:\/\/|mailto:)[^\s]/i,
  target: /^_blank$/,
  rel: /^noopener noreferrer nofollow$/,
  class: /^mention(?: mention-self)?$/,
  start: /^\d+$/,
}

/** What of the HTML a browser would build that is not on the list. */
function faultsOf(html: string): string[] {
  const root = document.createElement('div')
  root.innerHTML = html
  return [...root.querySelectorAll('*')].flatMap((element) => [
    ...(ELEMENTS.has(element.tagName) ? [] : [`<${element.tagName}>`]),
    ...(element.tagName === 'A' && !element.hasAttribute('rel') ? ['a link without rel'] : []),
    ...[...element.attributes]
      .filter(({ name, value }) => !ATTRIBUTES[name]?.test(value))
      .map(({ name, value }) => `${name}=${value}`),
  ])
}

describe('what people write cannot do anything', () => {
  beforeEach(() => {
    // The check itself must see what it is for.
    expect(faultsOf('<img src=x onerror=alert(1)>')).toHaveLength(3)
    expect(faultsOf('<a href="javascript:alert(1)">x</a>')).toHaveLength(2)
  })

  it.each(hostileMarkup)('as a message: %j', (payload) => {
    const html = renderMarkdown(payload, 'alice').map((s) => (s.kind === 'html' ? s.html : ''))
    expect(faultsOf(html.join(''))).toEqual([])
  })

  // The second line of defence has to hold by itself. In browsers the whole
  // list goes through it, in e2e/.
  it.each(hostileMarkup.filter((markup) => !NESTED.test(markup)))(
    'as HTML that reached the sanitiser: %j',
    (payload) => {
      expect(faultsOf(sanitise(payload))).toEqual([])
    },
  )

  it('keeps what is harmless', () => {
    const html = '<p>a <strong>b</strong> <code>c</code></p>'
    expect(sanitise(html)).toBe(html)
  })
})
