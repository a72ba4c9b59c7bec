import { afterEach, expect, it, vi } from 'vitest'

import { copyText } from '@/composables/copyText'

afterEach(() => {
  vi.unstubAllGlobals()
  document.body.innerHTML = ''
})

/** A page over plain HTTP, where the browser copies what is selected, or does not. */
function overHttp(allowed: boolean): string[] {
  const copied: string[] = []
  vi.stubGlobal('navigator', {})
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is nothing newer here
  document.execCommand = () => {
    if (allowed) copied.push((document.activeElement as HTMLTextAreaElement).value)
    return allowed
  }
  return copied
}

it('gives the text to the clipboard', async () => {
  const writeText = vi.fn(() => Promise.resolve())
  vi.stubGlobal('navigator', { clipboard: { writeText } })
  expect(await copyText('a line')).toBe(true)
  expect(writeText).toHaveBeenCalledWith('a line')
})

it('copies over plain HTTP, and gives the focus back', async () => {
  const copied = overHttp(true)
  document.body.innerHTML = '<button>Copy</button>'
  const button = document.querySelector('button')
  button?.focus()
  expect(await copyText('a line\nanother')).toBe(true)
  expect(copied).toEqual(['a line\nanother'])
  expect(document.activeElement).toBe(button)
  expect(document.querySelector('textarea')).toBeNull()
})

it('says when the browser does not let it', async () => {
  overHttp(false)
  expect(await copyText('a line')).toBe(false)
})
