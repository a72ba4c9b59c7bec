import { computed, onScopeDispose, ref, watch, type Ref } from 'vue'

import type { Channel, User } from '@/protocol'
import { useChannelsStore, type ChannelEntry } from '@/stores/channels'
import { useSessionStore } from '@/stores/session'
import { useUsersStore } from '@/stores/users'

import { fuzzy, type Match } from './useFuzzy'

export interface Place {
  key: string
  kind: 'channel' | 'direct' | 'stranger' | 'person'
  name: string
  /** What stands beside the name: the topic, or a person's user name. */
  note: string
  /** Letters of the name that the query means. */
  at: number[]
  channel?: Channel
  mentions: number
  unread: number
  private: boolean
  userId: string | null
}

const PAUSE_MS = 150
const MOST = 40

// Against the points of a fuzzy match: a call outweighs some letters, not a whole word.
const CALLS = 14
const UNREAD = 7
const NOT_MEMBER = -6
const NEW_CONVERSATION = -3

interface Ranked {
  place: Place
  score: number
}

/** Where one may want to go: one's channels and conversations, other public channels, people. */
export function useSwitcher(query: Ref<string>, open: Ref<boolean>) {
  const channels = useChannelsStore()
  const session = useSessionStore()
  const users = useUsersStore()

  const others = ref<Channel[]>([])
  const people = ref<User[]>([])
  const searching = ref(false)
  let turn = 0
  let timer: ReturnType<typeof setTimeout> | undefined

  const wanted = computed(() => query.value.trim().replace(/^[#@]/, ''))

  // At once, too: the first time it is opened, it is made open.
  watch(
    open,
    (is) => {
      forget()
      others.value = []
      if (!is) return
      // Without them one still gets to all that is one's own.
      channels.browse('').then(
        (found) => (others.value = found),
        () => undefined,
      )
    },
    { immediate: true },
  )

  function forget(): void {
    turn += 1
    clearTimeout(timer)
    people.value = []
    searching.value = false
  }
  onScopeDispose(forget)

  watch(wanted, (text) => {
    turn += 1
    const mine = turn
    clearTimeout(timer)
    searching.value = text !== ''
    if (text === '') people.value = []
    else timer = setTimeout(() => void search(mine, text), PAUSE_MS)
  })

  async function search(mine: number, text: string): Promise<void> {
    try {
      const found = await users.search(text)
      if (mine === turn) people.value = found
    } catch {
      if (mine === turn) people.value = []
    } finally {
      if (mine === turn) searching.value = false
    }
  }

  const places = computed<Place[]>(() => {
    // Not with every message that comes while nobody looks.
    if (!open.value) return []
    const own = channels.mine.map((channel) => ({ channel, name: channels.displayName(channel) }))
    if (wanted.value === '') {
      // As the list of channels has them: what calls first. Where one is already is no place to go.
      return own
        .filter(({ channel }) => channel.id !== channels.activeId)
        .slice(0, MOST)
        .map(({ channel, name }) => placeOf(channel, name, []))
    }
    const known = new Set(own.map(({ channel }) => channel.peer))
    const ranked: (Ranked | null)[] = [
      ...own.map(({ channel, name }) => {
        const match = best(name, channel.peer)
        if (!match) return null
        const news =
          channel.mentions > 0 ? CALLS : channel.unread > 0 && !channel.muted ? UNREAD : 0
        return { place: placeOf(channel, name, match.at), score: match.score + news }
      }),
      ...others.value
        .filter(({ id }) => !channels.byId.get(id)?.role)
        .map((channel) => {
          const match = best(channel.name, null)
          return match && { place: strange(channel, match), score: match.score + NOT_MEMBER }
        }),
      ...people.value
        .filter(({ id }) => id !== session.user?.id && !known.has(id))
        .map((user) => {
          // The server found it, maybe by a rule of its own.
          const match = best(user.display_name, user.id) ?? { score: 0, at: [] }
          return { place: personOf(user, match), score: match.score + NEW_CONVERSATION }
        }),
    ]
    return ranked
      .filter((each) => each !== null)
      .sort((a, b) => b.score - a.score)
      .slice(0, MOST)
      .map(({ place }) => place)
  })

  /** By the name that is shown, or by the user name behind it. */
  function best(name: string, id: string | null): Match | null {
    const byName = fuzzy(wanted.value, name)
    const byId = id === null || id === name ? null : fuzzy(wanted.value, id)
    if (!byId) return byName
    return { score: Math.max(byId.score, byName?.score ?? -Infinity), at: byName?.at ?? [] }
  }

  const placeOf = (channel: ChannelEntry, name: string, at: number[]): Place => ({
    key: `channel-${channel.id}`,
    kind: channel.peer === null ? 'channel' : 'direct',
    name,
    note: channel.peer === null ? channel.topic : channel.peer === name ? '' : channel.peer,
    at,
    channel,
    mentions: channel.mentions,
    unread: channel.muted ? 0 : channel.unread,
    private: channel.visibility === 'private',
    userId: channel.peer,
  })

  const strange = (channel: Channel, { at }: Match): Place => ({
    key: `channel-${channel.id}`,
    kind: 'stranger',
    name: channel.name,
    note: channel.topic,
    at,
    channel,
    mentions: 0,
    unread: 0,
    private: false,
    userId: null,
  })

  const personOf = (user: User, { at }: Match): Place => ({
    key: `person-${user.id}`,
    kind: 'person',
    name: user.display_name,
    note: user.id === user.display_name ? '' : user.id,
    at,
    mentions: 0,
    unread: 0,
    private: false,
    userId: user.id,
  })

  return { places, searching }
}
