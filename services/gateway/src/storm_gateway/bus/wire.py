"""What NATS messages hold: events as their clients see them, so that anyone can read along.

A message on ``channels.<id>`` or on a stream's subject is the JSON of one event, or of several,
separated by the byte 0x1E, which JSON never holds. An event for one user alone is wrapped:
``{"audience": "alice", "event": {…}}``. Control events and nodes' reports are msgspec's JSON.
"""

from collections.abc import Callable, Iterator
from typing import Any, get_args

import msgspec

from storm_gateway.bus.base import CONTROL, BusEvent, ChannelEvent, ControlEvent, StreamEvent
from storm_gateway.bus.report import REPORTS, NodeReport
from storm_gateway.protocol.events import Durable, ReadEvent, TypingEvent

SEPARATOR = b"\x1e"
_CHANNEL = "channels."
_MOST = 2**53
"""Above it, clients in JavaScript could not tell one seq from the next."""


class GarbageError(ValueError):
    """Bytes on a subject of ours that no node of ours would have sent."""


class _Head(msgspec.Struct, gc=False):
    """What a node has to know of an event; the rest it passes on as it came."""

    type: str = ""
    channel_id: int = 0
    seq: int = 0
    subject: str = ""
    audience: str | None = None
    event: msgspec.Raw = msgspec.Raw()


def _tags(kinds: tuple[type, ...]) -> frozenset[str]:
    return frozenset(msgspec.inspect.type_info(kind).tag for kind in kinds)  # type: ignore[attr-defined]


_DURABLE = _tags(get_args(Durable))
_EPHEMERAL = _tags((TypingEvent, ReadEvent))
"""A ``read`` has a ``seq`` too, but it is the reader's place, not the event's."""

_head: Callable[[bytes], _Head] = msgspec.json.Decoder(_Head).decode
_control: Callable[[bytes], ControlEvent] = msgspec.json.Decoder(ControlEvent).decode
_report: Callable[[bytes], NodeReport] = msgspec.json.Decoder(NodeReport).decode
_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode


def encode_event(event: BusEvent) -> bytes:
    """The bytes of one event."""
    if isinstance(event, ControlEvent | NodeReport):
        return _encode(event)
    if isinstance(event, ChannelEvent) and event.audience is not None:
        return b'{"audience":%b,"event":%b}' % (_encode(event.audience), event.body)
    return event.body


Reader = Callable[[Any, bytes], BusEvent]


def reader_of(topic: str) -> tuple[Reader, Any]:
    """What reads one event of the topic, and what it wants to be told first: one function for all
    topics of a kind, because a node has very many. It raises :class:`GarbageError`, nothing else.
    """
    if topic == CONTROL:
        return _read_control, None
    if topic == REPORTS:
        return _read_report, None
    if topic.startswith(_CHANNEL):
        return _read_channel, int(topic[len(_CHANNEL) :])
    return _read_stream, topic


def pack(events: list[bytes], most: int) -> Iterator[tuple[bytes, int]]:
    """Join events to payloads of at most ``most`` bytes, with the number of events in each.

    An event that is longer than that stands alone.
    """
    start = size = 0
    for index, event in enumerate(events):
        if index > start and size + len(event) > most:
            yield SEPARATOR.join(events[start:index]), index - start
            start, size = index, 0
        size += len(event) + 1
    rest = events[start:]
    yield (rest[0] if len(rest) == 1 else SEPARATOR.join(rest)), len(rest)


def _read_head(data: bytes) -> _Head:
    try:
        if not data.isascii():
            data.decode()  # skipped strings are not looked into, but clients get them
        return _head(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise GarbageError("not the JSON of an event") from None


def _read_channel(channel_id: int, data: bytes) -> ChannelEvent:
    head = _read_head(data)
    audience = head.audience
    if audience is not None:
        data = bytes(head.event)
        head = _read_head(data)
    if head.channel_id != channel_id:
        raise GarbageError("not an event of this channel")
    if head.type in _DURABLE and audience is None and 0 < head.seq <= _MOST:
        return ChannelEvent(channel_id, head.seq, data)
    if head.type in _EPHEMERAL:
        return ChannelEvent(channel_id, 0, data, audience)
    raise GarbageError("no event that a channel has")


def _read_stream(subject: str, data: bytes) -> StreamEvent:
    head = _read_head(data)
    if head.type != "event" or head.subject != subject:
        raise GarbageError("no event of this stream")
    return StreamEvent(subject, data)


def _read_report(_: Any, data: bytes) -> NodeReport:
    try:
        return _report(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise GarbageError("no node's report") from None


def _read_control(_: Any, data: bytes) -> ControlEvent:
    try:
        return _control(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise GarbageError("no control event") from None
