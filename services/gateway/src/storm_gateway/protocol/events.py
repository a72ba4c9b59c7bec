"""What the server says: replies to commands and events of channels, one tagged struct each.

Durable events carry the ``seq`` of their channel and are replayed; ephemeral ones do not.
Times are RFC 3339 UTC.
"""

from typing import Any, Literal

import msgspec

Role = Literal["owner", "moderator", "member"]


class _Out(msgspec.Struct, tag_field="type", omit_defaults=True, gc=False):
    """Base of everything the server says."""


# --- replies: they answer one command, matched by ``ref`` ---


class Ack(_Out, tag="ack"):
    """The command took effect; for a durable one, after the commit."""

    ref: str
    channel_id: int | None = None
    id: int | None = None
    seq: int | None = None


class Error(_Out, tag="error"):
    """The command failed; the connection lives on."""

    code: str
    message: str
    ref: str | None = None
    retry_after_ms: int | None = None


class Gap(msgspec.Struct, gc=False):
    """Events ``from``..``to`` (both included) were not replayed: read them by REST."""

    from_: int = msgspec.field(name="from")
    to: int = 0


class Subscribed(_Out, tag="subscribed"):
    """The channel is received from here on. Events up to ``head`` follow at once if asked."""

    channel_id: int
    head: int
    ref: str | None = None
    gap: Gap | None = None
    reset: bool = False
    """``since`` was above ``head``: what the client has is of another life of the database."""


class Pong(_Out, tag="pong"):
    """The answer to ``ping``."""

    ref: str | None = None


# --- events of the connection ---


class Keepalive(msgspec.Struct, gc=False):
    """How silence is noticed; seconds."""

    ping_seconds: int
    dead_seconds: int
    heartbeat_seconds: int


class Limits(msgspec.Struct, gc=False):
    """The bounds that this connection meets."""

    payload_characters: int
    frame_bytes: int
    commands_per_second: float
    commands_burst: int
    channels: int
    replay_events: int


class Hello(_Out, tag="hello"):
    """The first event of every connection."""

    connection_id: str
    user_id: str
    node: str
    keepalive: Keepalive
    limits: Limits
    token_expires_in: int | None = None
    epoch: str = ""
    """Another one than before: forget the position in each channel (a backup was restored)."""


class Heartbeat(_Out, tag="heartbeat"):
    """The newest ``seq`` of each subscribed channel: a client that has less has lost something."""

    heads: dict[str, int]


class TokenExpiring(_Out, tag="token.expiring"):
    """The token ends in ``expires_in`` seconds: send ``authenticate``."""

    expires_in: int


class Reconnect(_Out, tag="reconnect"):
    """Open a new connection after ``after_ms``; this one ends soon."""

    after_ms: int
    reason: str


# --- durable events of a channel ---


class MessageEvent(_Out, tag="message"):
    """A message. In a replay or in history, as it is now: edited, or deleted and empty."""

    channel_id: int
    payload: str
    user_id: str
    id: int
    seq: int
    sent_at: str
    edited_at: str | None = None
    deleted: bool = False


class MessageEdited(_Out, tag="message.edited"):
    """A message has a new text."""

    channel_id: int
    seq: int
    message_id: int
    message_seq: int
    user_id: str
    payload: str
    sent_at: str


class MessageDeleted(_Out, tag="message.deleted"):
    """A message is gone; ``user_id`` says who deleted it."""

    channel_id: int
    seq: int
    message_id: int
    message_seq: int
    user_id: str
    sent_at: str


class ReactionAdded(_Out, tag="reaction.added"):
    """A user reacted to a message."""

    channel_id: int
    seq: int
    message_id: int
    message_seq: int
    user_id: str
    emoji: str
    sent_at: str


class ReactionRemoved(_Out, tag="reaction.removed"):
    """A user took a reaction back."""

    channel_id: int
    seq: int
    message_id: int
    message_seq: int
    user_id: str
    emoji: str
    sent_at: str


class MemberJoined(_Out, tag="member.joined"):
    """A user became a member; ``by`` says who invited."""

    channel_id: int
    seq: int
    user_id: str
    role: Role
    sent_at: str
    by: str | None = None


class MemberUpdated(_Out, tag="member.updated"):
    """A member has another role."""

    channel_id: int
    seq: int
    user_id: str
    role: Role
    by: str
    sent_at: str


class MemberLeft(_Out, tag="member.left"):
    """A member left, or was removed or banned by ``by``."""

    channel_id: int
    seq: int
    user_id: str
    reason: Literal["left", "removed", "banned"]
    sent_at: str
    by: str | None = None


class ChannelUpdated(_Out, tag="channel.updated"):
    """The channel's name, topic or visibility changed."""

    channel_id: int
    seq: int
    name: str
    topic: str
    visibility: str
    by: str
    sent_at: str


class ChannelDeleted(_Out, tag="channel.deleted"):
    """The channel is gone. The last event of its log."""

    channel_id: int
    seq: int
    by: str
    sent_at: str


# --- events without a seq ---


class ReadEvent(_Out, tag="read"):
    """A user read up to ``seq``. The cursor is stored; the event itself is not replayed."""

    channel_id: int
    user_id: str
    seq: int


class TypingEvent(_Out, tag="typing"):
    """A user is writing; shown for ``expires_in_ms``."""

    channel_id: int
    user_id: str
    expires_in_ms: int


class PresenceEvent(_Out, tag="presence"):
    """Who is online in a channel.

    ``users`` is the whole list (after a subscribe), ``joined`` and ``left`` are changes. Above
    the naming limit only ``online``, the count, is told.
    """

    channel_id: int
    online: int
    users: list[str] | None = None
    joined: list[str] | None = None
    left: list[str] | None = None


class StreamEvent(_Out, tag="event"):
    """Something published to an event stream. Ephemeral."""

    subject: str
    payload: Any


REPLIES: tuple[type[_Out], ...] = (Ack, Error, Subscribed, Pong)
CONNECTION_EVENTS: tuple[type[_Out], ...] = (Hello, Heartbeat, TokenExpiring, Reconnect)
DURABLE_EVENTS: tuple[type[_Out], ...] = (
    MessageEvent,
    MessageEdited,
    MessageDeleted,
    ReactionAdded,
    ReactionRemoved,
    MemberJoined,
    MemberUpdated,
    MemberLeft,
    ChannelUpdated,
    ChannelDeleted,
)
EPHEMERAL_EVENTS: tuple[type[_Out], ...] = (ReadEvent, TypingEvent, PresenceEvent, StreamEvent)
EVENTS = CONNECTION_EVENTS + DURABLE_EVENTS + EPHEMERAL_EVENTS

Durable = (
    MessageEvent
    | MessageEdited
    | MessageDeleted
    | ReactionAdded
    | ReactionRemoved
    | MemberJoined
    | MemberUpdated
    | MemberLeft
    | ChannelUpdated
    | ChannelDeleted
)
