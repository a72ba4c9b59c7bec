import { onScopeDispose, shallowReactive, watch } from 'vue'
import { useI18n } from 'vue-i18n'

import type { ServerEvent } from '@/protocol'
import { useChannelsStore, type ChannelEntry } from '@/stores/channels'
import { useGatewayStore } from '@/stores/gateway'
import { mentions } from '@/stores/mentions'
import { usePreferencesStore } from '@/stores/preferences'
import { useSessionStore } from '@/stores/session'
import { useUsersStore } from '@/stores/users'

import { onPageTitle, pageTitle } from './usePageTitle'
import { useOpenChannel } from './useOpenChannel'

type MessageEvent_ = Extract<ServerEvent, { type: 'message' }>

/** Read elsewhere within this time, as on the screen beside: then nobody needs to be told. */
const PAUSE_MS = 700
const MOST_CHARACTERS = 140

/** Says outside of the page what waits for the user: in its title, and on the desktop. */
export function useNotifications(): void {
  useTitleBadge()
  useDesktopNotifications()
}

/** "(3) general · STORM" */
function useTitleBadge(): void {
  const channels = useChannelsStore()

  function name(): void {
    const count = channels.totalMentions || channels.totalUnread
    const badge = count === 0 ? '' : count > 99 ? '(99+) ' : `(${count}) `
    document.title = badge + pageTitle.value
  }
  watch(() => [channels.totalMentions, channels.totalUnread], name, { immediate: true })
  const stop = onPageTitle(name)
  onScopeDispose(() => {
    stop()
    document.title = pageTitle.value
  })
}

/** Mentions and direct messages that come while nobody looks, if the user agreed. */
function useDesktopNotifications(): void {
  const { t } = useI18n()
  const channels = useChannelsStore()
  const gateway = useGatewayStore()
  const preferences = usePreferencesStore()
  const session = useSessionStore()
  const users = useUsersStore()
  const open = useOpenChannel()

  const timers = new Map<number, ReturnType<typeof setTimeout>>()
  const shown = shallowReactive(new Map<number, { notification: Notification; seq: number }>())

  watch(
    () => gateway.client,
    (client, _former, onCleanup) => {
      if (client) onCleanup(client.on('event', heard))
    },
    { immediate: true },
  )

  function heard(event: ServerEvent): void {
    if (event.type !== 'message' || !callsUser(event)) return
    const channelId = event.channel_id
    // Of many at once, as after a reconnection, the last one stands for all.
    clearTimeout(timers.get(channelId))
    timers.set(
      channelId,
      setTimeout(() => {
        timers.delete(channelId)
        if (callsUser(event)) show(event)
      }, PAUSE_MS),
    )
  }

  function callsUser(event: MessageEvent_): boolean {
    const channel = channels.byId.get(event.channel_id)
    const me = session.user?.id
    return (
      preferences.notifications &&
      isAway() &&
      channel !== undefined &&
      channel.role !== null &&
      !channel.muted &&
      me !== undefined &&
      event.user_id !== me &&
      event.deleted !== true &&
      event.seq > channel.read_seq &&
      (channel.visibility === 'direct' || mentions(event.payload, me))
    )
  }

  function titleOf(channel: ChannelEntry, userId: string): string {
    const name = users.displayName(userId)
    if (channel.visibility === 'direct') return name
    return t('notifications.inChannel', { name, channel: channels.displayName(channel) })
  }

  function show(event: MessageEvent_): void {
    const channel = channels.byId.get(event.channel_id)
    if (!channel) return
    try {
      const notification = new Notification(titleOf(channel, event.user_id), {
        body: shortened(event.payload),
        icon: '/favicon.svg',
        // Later ones of a channel replace the earlier, of other tabs too.
        tag: `storm-${channel.id}`,
      })
      shown.set(channel.id, { notification, seq: event.seq })
      notification.onclick = () => {
        window.focus()
        notification.close()
        void open(channel.id)
      }
    } catch {
      // Some phones allow them to service workers only. The title tells the count.
    }
  }

  // What was read, or is gone, needs no notification any more.
  watch(
    () =>
      [...shown].filter(([id, { seq }]) => (channels.byId.get(id)?.read_seq ?? Infinity) >= seq),
    (over) => {
      for (const [id, { notification }] of over) {
        notification.close()
        shown.delete(id)
      }
    },
  )

  onScopeDispose(() => {
    for (const timer of timers.values()) clearTimeout(timer)
    for (const { notification } of shown.values()) notification.close()
  })
}

const isAway = (): boolean => document.visibilityState === 'hidden' || !document.hasFocus()

function shortened(text: string): string {
  const characters = Array.from(text.trim())
  if (characters.length <= MOST_CHARACTERS) return text.trim()
  return `${characters.slice(0, MOST_CHARACTERS - 1).join('')}…`
}
