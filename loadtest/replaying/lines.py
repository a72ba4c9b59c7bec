"""The file of messages, and what of it is said again."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from storm_gateway.cli.imports.records import user_id_of


class Line(msgspec.Struct):
    """One message of the file."""

    user: str
    text: str
    time: str
    channel: str = "replay"


def read_lines(path: Path) -> list[Line]:
    """All messages of the file."""
    decode = msgspec.json.Decoder(Line).decode
    with path.open("rb") as file:
        return [decode(line) for line in file if line.strip()]


def sayings(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Who says what: the user ids that the import makes of the names, and the texts."""
    return [(user_id_of(line.user), line.text) for line in lines]


def choose(lines: Sequence[Line], count: int, part: str) -> list[tuple[str, str]]:
    """The ``first`` or last ``count`` messages, to be said again."""
    return sayings(lines[:count] if part == "first" else lines[-count:])
