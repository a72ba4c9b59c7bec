"""What the client itself has to say, among the server's events."""

import msgspec


class Connected(msgspec.Struct, frozen=True, tag="client.connected", tag_field="type"):
    """A connection stands and every subscription is being resumed. ``again``: not the first."""

    connection_id: str
    user_id: str
    again: bool


class Disconnected(msgspec.Struct, frozen=True, tag="client.disconnected", tag_field="type"):
    """The connection is gone, or could not be opened; the next try is in ``retry_seconds``."""

    reason: str
    retry_seconds: float
    code: int | None = None


class Backfilled(msgspec.Struct, frozen=True, tag="client.backfilled", tag_field="type"):
    """More was missed than the server replays: ``first``..``last`` (seq) came from history.

    The messages were delivered as they are now; reactions and membership changes of that range
    were not, nor edits of older messages. A client that keeps those reads them anew.
    """

    channel_id: int
    first: int
    last: int


class Rewound(msgspec.Struct, frozen=True, tag="client.rewound", tag_field="type"):
    """The server's log of the channel is another one than what was received before (a database
    restored from a backup). What comes now follows ``head``; what is up to there is in history.
    """

    channel_id: int
    head: int


class SubscriptionLost(
    msgspec.Struct, frozen=True, tag="client.subscription_lost", tag_field="type"
):
    """The channel could not be resumed: deleted, or no longer allowed."""

    channel_id: int
    code: str
    message: str


Notice = Connected | Disconnected | Backfilled | Rewound | SubscriptionLost
