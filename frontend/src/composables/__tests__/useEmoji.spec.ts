import { beforeEach, describe, expect, it, vi } from 'vitest'

import { readEmoji, searchEmoji } from '@/composables/useEmoji'

const entry = (emoji: string, annotation: string, some: object = {}) => ({
  emoji,
  annotation,
  group: 0,
  version: 1,
  ...some,
})
const all = readEmoji([
  entry('😢', 'crying face', { tags: ['cat', 'sad'] }),
  entry('🐱', 'cat face', { shortcodes: ['cat'] }),
  entry('🎂', 'gâteau d’anniversaire', { tags: ['fête'] }),
  entry('👍', 'thumbs up', { shortcodes: ['+1', 'thumbsup'], group: 1 }),
  entry('🏻', 'light skin tone', { group: 2 }),
  entry('🫩', 'face with bags under eyes', { version: 16 }),
])

describe('emoji', () => {
  it('leaves out skin tones alone, and those too new for most systems', () => {
    expect(all.map(({ emoji }) => emoji)).toEqual(['😢', '🐱', '🎂', '👍'])
  })

  it('finds by name first, then by other words, by shortcodes and without accents', () => {
    const found = (query: string): string[] => searchEmoji(all, query).map(({ emoji }) => emoji)
    expect(found('cat')).toEqual(['🐱', '😢'])
    expect(found('crying sad')).toEqual(['😢'])
    expect(found(':thumbsup:')).toEqual(['👍'])
    expect(found('+1')).toEqual(['👍'])
    expect(found('gateau')).toEqual(['🎂'])
    expect(found('FÊTE')).toEqual(['🎂'])
    expect(found('   ')).toEqual([])
    expect(found('nothing of this kind')).toEqual([])
  })
})

describe('loading', () => {
  beforeEach(() => vi.resetModules())

  it('fetches a language once, and again after a failure', async () => {
    const fetching = vi
      .fn<typeof fetch>()
      .mockRejectedValueOnce(new TypeError('offline'))
      .mockImplementation(() => Promise.resolve(Response.json([entry('🐱', 'chat')])))
    vi.stubGlobal('fetch', fetching)
    const { loadEmoji } = await import('@/composables/useEmoji')
    await expect(loadEmoji('fr')).rejects.toThrow('offline')
    expect((await loadEmoji('fr'))[0]?.name).toBe('chat')
    await loadEmoji('fr')
    expect(fetching).toHaveBeenCalledTimes(2)
    const [address] = fetching.mock.calls[0] ?? []
    // eslint-disable-next-line @typescript-eslint/no-base-to-string
    expect(String(address)).toMatch(/^\/.*data\.json/)
    vi.unstubAllGlobals()
  })

  it('keeps what was used last first, over reloads', async () => {
    localStorage.clear()
    const first = await import('@/composables/useEmoji')
    const { remember } = first.useRecentEmoji()
    for (const emoji of ['🐱', '👍', '🐱']) remember(emoji)
    vi.resetModules()
    const second = await import('@/composables/useEmoji')
    expect(second.useRecentEmoji().recent.value).toEqual(['🐱', '👍'])
  })

  it('does without what somebody broke in the storage', async () => {
    localStorage.setItem('storm.emoji.recent', '{"no": "list"')
    const { useRecentEmoji } = await import('@/composables/useEmoji')
    expect(useRecentEmoji().recent.value).toEqual([])
  })
})
