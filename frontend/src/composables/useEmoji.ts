import { ref, shallowRef, type Ref } from 'vue'

import english from 'emoji-picker-element-data/en/emojibase/data.json?url'
import french from 'emoji-picker-element-data/fr/emojibase/data.json?url'

export interface Emoji {
  emoji: string
  name: string
  group: number
  /** What it is found by, in lower case and without accents. */
  words: string
}

interface Entry {
  emoji: string
  annotation: string
  tags?: string[]
  shortcodes?: string[]
  emoticon?: string | string[]
  group: number
  version: number
}

/** The groups of the data that people know, in their order; 2 holds skin tones alone. */
export const EMOJI_GROUPS = [0, 1, 3, 4, 5, 6, 7, 8, 9] as const

/** What is offered before somebody has used any. */
export const USUAL_EMOJI = ['👍', '❤️', '😂', '🎉', '😮', '😢', '🙏', '🔥', '👀', '✅']

/** Newer ones are empty boxes on most systems. */
const NEWEST_VERSION = 15
const RECENT = 24
const STORAGE_KEY = 'storm.emoji.recent'

const sources: Record<string, string> = { en: english, fr: french }

export const plain = (text: string): string =>
  text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase()

/** Reads the entries of the data file. */
export function readEmoji(entries: readonly Entry[]): Emoji[] {
  return entries
    .filter(({ group, version }) => group !== 2 && version <= NEWEST_VERSION)
    .map(({ emoji, annotation, tags = [], shortcodes = [], emoticon = [], group }) => ({
      emoji,
      name: annotation,
      group,
      words:
        plain([annotation, ...tags, ...shortcodes].join(' ')) + ` ${[emoticon].flat().join(' ')}`,
    }))
}

/** Those that have every word of the query; whose name begins with it come first. */
export function searchEmoji(all: readonly Emoji[], query: string): Emoji[] {
  const wanted = plain(query).replaceAll(':', ' ').trim().split(/\s+/).filter(Boolean)
  const first = wanted[0]
  if (first === undefined) return []
  const found = all.filter(({ words }) => wanted.every((word) => words.includes(word)))
  const rank = ({ name, words }: Emoji): number =>
    plain(name).startsWith(first) ? 0 : ` ${words}`.includes(` ${first}`) ? 1 : 2
  return found
    .map((emoji) => ({ emoji, at: rank(emoji) }))
    .sort((a, b) => a.at - b.at)
    .map(({ emoji }) => emoji)
}

const loaded = new Map<string, Promise<Emoji[]>>()

/** The emoji with their names in a language, fetched once, from where the page comes from. */
export function loadEmoji(locale: string): Promise<Emoji[]> {
  const source = sources[locale] ?? english
  let emoji = loaded.get(source)
  if (emoji === undefined) {
    emoji = fetch(source)
      .then((response) => {
        if (!response.ok) throw new Error(`emoji: ${response.status}`)
        return response.json() as Promise<Entry[]>
      })
      .then(readEmoji)
    // A failure is not kept: the next time one looks, it is tried again.
    emoji.catch(() => loaded.delete(source))
    loaded.set(source, emoji)
  }
  return emoji
}

function readRecent(): string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? '[]')
    return Array.isArray(kept) ? kept.filter((one) => typeof one === 'string').slice(0, RECENT) : []
  } catch {
    return []
  }
}

const recent = ref<string[] | null>(null)

/** The emoji that one used last, over reloads. */
export function useRecentEmoji() {
  recent.value ??= readRecent()
  return {
    recent: recent as Ref<string[]>,
    remember: (emoji: string): void => {
      recent.value = [emoji, ...(recent.value ?? []).filter((one) => one !== emoji)].slice(
        0,
        RECENT,
      )
      try {
        localStorage.setItem(STORAGE_KEY, JSON.stringify(recent.value))
      } catch {
        // Storage is refused: they last as long as the page.
      }
    },
  }
}

/** The emoji in the language of the page, once `load` was called. */
export function useEmoji(locale: Ref<string>) {
  const emoji = shallowRef<Emoji[]>([])
  const phase = ref<'loading' | 'ready' | 'error'>('loading')

  async function load(): Promise<void> {
    phase.value = 'loading'
    const asked = locale.value
    try {
      const all = await loadEmoji(asked)
      if (asked !== locale.value) return
      emoji.value = all
      phase.value = 'ready'
    } catch {
      phase.value = 'error'
    }
  }

  return { emoji, phase, load }
}
