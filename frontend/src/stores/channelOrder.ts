import type { ChannelEntry } from './channels'

/** What calls the user first, then what is unread, then the rest; each by name. */
export function sorted(
  channels: ChannelEntry[],
  nameOf: (channel: ChannelEntry) => string,
  locale: string,
): ChannelEntry[] {
  const collator = new Intl.Collator(locale, { numeric: true, sensitivity: 'base' })
  return channels
    .map((channel) => ({ channel, name: nameOf(channel), rank: rankOf(channel) }))
    .sort((a, b) => a.rank - b.rank || collator.compare(a.name, b.name))
    .map(({ channel }) => channel)
}

function rankOf(channel: ChannelEntry): number {
  if (channel.mentions > 0) return channel.visibility === 'direct' ? 0 : 1
  return channel.unread > 0 && !channel.muted ? 2 : 3
}
