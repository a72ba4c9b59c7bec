"""Events of a channel that may take somebody's right to receive it away."""

from collections.abc import Callable

import msgspec

from storm_gateway.protocol.events import ChannelDeleted, ChannelUpdated, MemberLeft

_KINDS = (b'"type":"member.left"', b'"type":"channel.')
_BEGIN = 48
"""Bytes in which the type of an event stands, after a frame header of at most 10."""

_Kind = MemberLeft | ChannelUpdated | ChannelDeleted
_decode: Callable[[bytes], _Kind] = msgspec.json.Decoder(_Kind).decode


def taken_away(frame: bytes) -> _Kind | None:
    """The event in a frame of ours when somebody may have lost a right by it; None: nobody has."""
    begin = frame[:_BEGIN]
    if _KINDS[0] not in begin and _KINDS[1] not in begin:
        return None
    length = begin[1]
    try:
        event = _decode(frame[2 if length < 126 else 4 if length == 126 else 10 :])
    except msgspec.MsgspecError:
        return None  # no node of ours sent it
    if isinstance(event, ChannelUpdated) and event.visibility == "public":
        return None
    return event
