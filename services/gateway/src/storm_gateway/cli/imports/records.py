"""What readers yield, and how they read lines."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from storm_gateway.actions.names import is_user_id

LINE_BYTES = 1024 * 1024
"""The longest line that is read; a longer one is a fault of its own, not of our memory."""


@dataclass(slots=True, frozen=True)
class Found:
    """A message. ``at_ms`` is milliseconds since 1970, UTC; ``channel`` is where it was said, if
    the source names it; ``key`` names it within its source, if the source has a name for it.
    """

    user: str
    at_ms: int
    text: str
    channel: str | None = None
    key: str | None = None


@dataclass(slots=True, frozen=True)
class Bad:
    """Something that cannot be read, and where."""

    where: str
    reason: str


class Skipped:
    """Something that is no message (a join, a notice)."""

    __slots__ = ()


SKIPPED = Skipped()
Record = Found | Bad | Skipped


def lines_of(file: BinaryIO, name: str) -> Iterator[tuple[str, bytes] | Bad]:
    """(place, line without its end) for each line that is not empty."""
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(LINE_BYTES)
            yield Bad(f"{name}:{number}", f"the line is longer than {LINE_BYTES} bytes")
            continue
        line = line.strip(b"\r\n")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield f"{name}:{number}", line


def user_id_of(name: str) -> str:
    """A name of another system as a user id.

    A name that is a valid id stays. Another is written with the allowed signs, and gets a mark
    made of the whole name, so that ``bob|away`` and ``bob_away`` remain two people, in every
    import alike.
    """
    if is_user_id(name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._@+\-]+", "_", plain).strip("_")[:48] or "user"
    mark = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=3).hexdigest()
    return f"{plain}.{mark}"
