import { expect, it } from 'vitest'

import { safePath } from '../safePath'

it('keeps a path of this page', () => {
  expect(safePath('/c/7?at=1#x')).toBe('/c/7?at=1#x')
})

it.each(['//evil.example', '/\\evil.example', 'https://evil.example/', 'javascript:alert(1)', ''])(
  'leads nowhere else: %s',
  (next) => {
    expect(safePath(next)).toBe('/')
  },
)

it('leads home when nothing, or a list, was asked for', () => {
  expect(safePath(undefined)).toBe('/')
  expect(safePath(['/c/1', '/c/2'])).toBe('/')
})
