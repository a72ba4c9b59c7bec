import type { ChannelEntry } from '@/stores/channels'

/** A channel that the user is in, as the store has it. */
export function entryOf(id: number, more: Partial<ChannelEntry> = {}): ChannelEntry {
  return {
    id,
    name: more.visibility === 'direct' ? '' : `channel-${id}`,
    topic: '',
    visibility: 'public',
    created_by: 'ann',
    created_at: '2026-01-31T12:00:00.000Z',
    head: 1,
    member_count: 2,
    role: 'member',
    read_seq: 1,
    unread: 0,
    peer: null,
    mentions: 0,
    muted: false,
    ...more,
  }
}
