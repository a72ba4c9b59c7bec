"""Whether the database takes what is written: a disk can be full and still be read.

A commit that was refused for want of space, or because only reads are let in, puts the database in
doubt, and so does a start. In doubt a probe has to write for real, and only that ends the doubt:
a commit of nothing, or of a few bytes into a page that has room, succeeds on a full disk too.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, delete, insert

from storm_gateway.errors import UnavailableError
from storm_gateway.store.tables import meta

QUIET_SECONDS = 2.0
"""How long after a refused commit it is believed without a try: while some commits are refused,
one that succeeds says little, and a disk that is full is not asked more often.
"""

PROBE_CHARACTERS = 64 * 1024
"""More than what is left over in pages that exist already."""

_PROBE = meta.c.key == "probe"


class CannotWriteError(UnavailableError):
    """The database answers, and takes nothing. The message begins with "cannot write"."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot write: {reason}", retry_after_ms=1000)


class WriteHealth:
    """What the last commits told. Any thread may tell it, any may ask."""

    def __init__(self) -> None:
        self._doubtful = True
        self._refused_at = float("-inf")
        self._reason = ""

    @property
    def doubtful(self) -> bool:
        """Whether a probe has to write for real."""
        return self._doubtful

    @property
    def refusal(self) -> str:
        """Why a commit was refused just now; empty: none was for :data:`QUIET_SECONDS`."""
        if time.monotonic() - self._refused_at < QUIET_SECONDS:
            return self._reason
        return ""

    @contextmanager
    def watching(self, reason_of: Callable[[BaseException], str]) -> Iterator[None]:
        """A transaction. ``reason_of`` an error: why nothing can be written, or nothing."""
        try:
            yield
        except BaseException as error:
            reason = reason_of(error)
            if reason:
                self._reason = reason
                self._refused_at = time.monotonic()
                self._doubtful = True
            raise

    def proven(self, began: float) -> None:
        """A real write that began then (``time.monotonic``) is on the disk."""
        if self._refused_at < began:
            self._doubtful = False


def write_a_row(connection: Connection) -> None:
    """One row of ``meta`` that needs some pages; the one before goes."""
    connection.execute(delete(meta).where(_PROBE))
    value = secrets.token_hex(PROBE_CHARACTERS // 2)
    connection.execute(insert(meta).values(key="probe", value=value))
