"""Rows of a channel's log ↔ events. What is written here is what a replay reads back."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from storm_gateway.protocol.events import (
    ChannelDeleted,
    ChannelUpdated,
    Durable,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    MessageDeleted,
    MessageEdited,
    MessageEvent,
    ReactionAdded,
    ReactionRemoved,
)
from storm_gateway.store.times import rfc3339


class _Described(msgspec.Struct):
    """What ``channel.updated`` keeps in ``data``."""

    name: str
    topic: str
    visibility: str


def kind_of(event: Durable | type[Durable]) -> str:
    """The ``type`` that clients see."""
    return str(event.__struct_config__.tag)


def parts_of(event: Durable) -> tuple[str | None, int | None, str | None]:
    """What a change's row keeps besides kind, actor and time: subject, message id, data."""
    match event:
        case MessageEdited() | MessageDeleted():
            return None, event.message_id, None
        case ReactionAdded() | ReactionRemoved():
            return None, event.message_id, event.emoji
        case MemberJoined() | MemberUpdated():
            return event.user_id, None, event.role
        case MemberLeft():
            return event.user_id, None, event.reason
        case ChannelUpdated():
            described = _Described(event.name, event.topic, event.visibility)
            return None, None, msgspec.json.encode(described).decode()
        case ChannelDeleted() | MessageEvent():
            return None, None, None


def message_event(
    channel_id: int,
    seq: int,
    id_: int,
    user_id: str,
    payload: str,
    sent_at: int,
    edited_at: int | None,
    deleted_at: int | None,
) -> MessageEvent:
    """A stored message as it is now."""
    return MessageEvent(
        channel_id=channel_id,
        payload=payload,
        user_id=user_id,
        id=id_,
        seq=seq,
        sent_at=rfc3339(sent_at),
        edited_at=None if edited_at is None else rfc3339(edited_at),
        deleted=deleted_at is not None,
    )


def change_event(channel_id: int, row: Sequence[Any]) -> Durable:
    """A stored change. An edit shows the text that its message has now."""
    seq, kind, actor, subject, data, at, message_id, message_seq, payload = row
    sent_at = rfc3339(at)
    message = (channel_id, seq, message_id, message_seq, actor)
    by = None if actor == subject else actor
    match kind:
        case "message.edited":
            return MessageEdited(*message, payload, sent_at)
        case "message.deleted":
            return MessageDeleted(*message, sent_at)
        case "reaction.added":
            return ReactionAdded(*message, data, sent_at)
        case "reaction.removed":
            return ReactionRemoved(*message, data, sent_at)
        case "member.joined":
            return MemberJoined(channel_id, seq, subject, data, sent_at, by)
        case "member.updated":
            return MemberUpdated(channel_id, seq, subject, data, actor, sent_at)
        case "member.left":
            return MemberLeft(channel_id, seq, subject, data, sent_at, by)
        case "channel.updated":
            is_now = msgspec.json.decode(data, type=_Described)
            return ChannelUpdated(
                channel_id, seq, is_now.name, is_now.topic, is_now.visibility, actor, sent_at
            )
        case "channel.deleted":
            return ChannelDeleted(channel_id, seq, actor, sent_at)
        case _:
            raise ValueError(f"a change of unknown kind {kind!r}")


def merge(
    channel_id: int, messages: Sequence[Sequence[Any]], changes: Sequence[Sequence[Any]]
) -> list[Durable]:
    """Both halves of a log, each in any order, as one in order of seq."""

    def events() -> Iterator[Durable]:
        for seq, id_, *rest in messages:
            user_id, payload, sent_at, edited_at, deleted_at = rest
            yield message_event(
                channel_id, seq, id_, user_id, payload, sent_at, edited_at, deleted_at
            )
        for row in changes:
            yield change_event(channel_id, row)

    return sorted(events(), key=lambda event: event.seq)
