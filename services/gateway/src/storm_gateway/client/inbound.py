"""Frames of the server, read. What only a newer client would understand is dropped."""

from contextlib import suppress

import msgspec

from storm_gateway.protocol.events import (
    Ack,
    ChannelDeleted,
    ChannelUpdated,
    Durable,
    Error,
    Heartbeat,
    Hello,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    MessageDeleted,
    MessageEdited,
    MessageEvent,
    Pong,
    PresenceEvent,
    ReactionAdded,
    ReactionRemoved,
    ReadEvent,
    Reconnect,
    StreamEvent,
    Subscribed,
    TokenExpiring,
    TypingEvent,
)

Ephemeral = ReadEvent | TypingEvent | PresenceEvent | StreamEvent
Inbound = (
    Ack
    | Error
    | Subscribed
    | Pong
    | Hello
    | Heartbeat
    | TokenExpiring
    | Reconnect
    | MessageEvent
    | MessageEdited
    | MessageDeleted
    | ReactionAdded
    | ReactionRemoved
    | MemberJoined
    | MemberUpdated
    | MemberLeft
    | ChannelUpdated
    | ChannelDeleted
    | ReadEvent
    | TypingEvent
    | PresenceEvent
    | StreamEvent
)
DURABLE = (
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
EPHEMERAL = (ReadEvent, TypingEvent, PresenceEvent, StreamEvent)
_decode = msgspec.json.Decoder(Inbound).decode


class _AnyDurable(msgspec.Struct):
    channel_id: int
    seq: int


class Unknown(msgspec.Struct, frozen=True):
    """A durable event of a kind that this client does not know; it still counts in the log."""

    channel_id: int
    seq: int


def decode(frame: bytes) -> Inbound | Unknown | None:
    """Read one frame; None when there is nothing in it for this client."""
    with suppress(msgspec.MsgspecError):
        event: Inbound = _decode(frame)
        return event
    try:
        found = msgspec.json.decode(frame, type=_AnyDurable)
    except msgspec.MsgspecError:
        return None
    return Unknown(found.channel_id, found.seq)


__all__ = ["DURABLE", "EPHEMERAL", "Durable", "Ephemeral", "Inbound", "Unknown", "decode"]
