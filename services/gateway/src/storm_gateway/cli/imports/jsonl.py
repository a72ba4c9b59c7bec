"""JSON lines: ``{"channel"?, "time", "user", "text", "id"?}``, one message a line."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec

from storm_gateway.cli.imports.records import Bad, Found, Record, lines_of


class _Line(msgspec.Struct):
    user: str
    text: str
    time: str | float | int
    channel: str | None = None
    id: str | int | None = None


_decode = msgspec.json.Decoder(_Line).decode


def read_jsonl(file: BinaryIO, name: str) -> Iterator[Record]:
    """``time`` is RFC 3339 (without a zone: UTC) or seconds since 1970."""
    for found in lines_of(file, name):
        if isinstance(found, Bad):
            yield found
            continue
        place, line = found
        try:
            row = _decode(line)
            at_ms = milliseconds(row.time)
        except (msgspec.MsgspecError, ValueError, OverflowError, UnicodeDecodeError) as error:
            yield Bad(place, str(error))
            continue
        key = None if row.id is None else str(row.id)
        yield Found(row.user, at_ms, row.text, row.channel, key)


def milliseconds(time: str | float) -> int:
    """A time as milliseconds since 1970. Raises ``ValueError``."""
    if isinstance(time, str):
        at = datetime.fromisoformat(time)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        time = at.timestamp()
    if not 0 <= time < 253_402_300_800:
        raise ValueError("the time is not between 1970 and 9999")
    return round(time * 1000)
