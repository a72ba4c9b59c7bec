"""What PostgreSQL's errors mean (postgresql.org: Appendix A, error codes)."""

from collections.abc import Iterator

import asyncpg
from sqlalchemy.exc import DBAPIError

from storm_gateway.errors import UnavailableError

RETRY_AFTER_MS = 1000

_NOTHING = "Nothing was saved; try again."
_AWAY = f"The store is away. {_NOTHING}"
_LATE = "The store took too long. Try again."
_UNKNOWN = "The store did not answer: it is not known whether this was saved. Try again."

_SENTENCES = {
    "08": _AWAY,
    "25006": f"The store only lets read now. {_NOTHING}",
    "25P03": _LATE,
    "28": "The store refuses the login. Nothing was saved; try again later.",
    "3D000": "The store has no such database. Nothing was saved; try again later.",
    "40001": f"The store is busy. {_NOTHING}",
    "40P01": f"The store is busy. {_NOTHING}",
    "42501": "The store refuses this login its rights. Nothing was saved; try again later.",
    "53": f"The store lacks resources. {_NOTHING}",
    "53100": "The store's disk is full. Nothing was saved; try again later.",
    "53200": "The store is out of memory. Nothing was saved; try again later.",
    "53300": f"The store has no free connection. {_NOTHING}",
    "55P03": f"The store is busy. {_NOTHING}",
    "57014": _LATE,
    "57P": f"The store is shutting down. {_NOTHING}",
    "57P03": f"The store is starting up. {_NOTHING}",
    "58": "The store's disk failed. Nothing was saved; try again later.",
    "XX001": "The store is damaged. Nothing was saved.",
    "XX002": "The store is damaged. Nothing was saved.",
}
"""By the code, or by its class (the first two or three characters)."""

_CONFLICTS = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    # Another node was first with the same name, user or token: now it can be seen.
    "23505",  # unique_violation
}

_HARMLESS = _CONFLICTS | {"55P03", "57014"}
"""After these the connection is as good as before."""


class UnknownOutcomeError(Exception):
    """The connection broke while a commit was under way."""


class LostError(Exception):
    """The connection broke, or there was none; the cause says more."""


class LateError(Exception):
    """The deadline came first."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = (seen.orig if isinstance(seen, DBAPIError) else None) or seen.__cause__


def _code(error: BaseException) -> str:
    for each in _chain(error):
        code = getattr(each, "sqlstate", None)
        if isinstance(code, str):
            return code
    return ""


def failure_of(error: BaseException) -> UnavailableError | None:
    """What clients are told when the server is at fault; None when the statement is."""
    if any(isinstance(each, UnknownOutcomeError) for each in _chain(error)):
        return _unavailable(_UNKNOWN)
    if any(isinstance(each, LateError) for each in _chain(error)):
        return _unavailable(_LATE)
    code = _code(error)
    for length in (5, 3, 2):
        sentence = _SENTENCES.get(code[:length])
        if sentence is not None:
            return _unavailable(sentence)
    causes = list(_chain(error))
    if any(isinstance(each, asyncpg.TargetServerAttributeNotMatched) for each in causes):
        return _unavailable(_SENTENCES["25006"])
    if any(isinstance(each, (LostError, OSError)) or is_closed_error(each) for each in causes):
        return _unavailable(_AWAY)
    return None


_CANNOT_WRITE = {
    "25006": "the database only lets read",
    "53": "the database lacks resources",
    "53100": "the disk is full",
    "53200": "the database is out of memory",
    "58": "the disk failed",
}


def cannot_write(error: BaseException) -> str:
    """Why nothing can be written, in a few words; empty: it was something else."""
    code = _code(error)
    for length in (5, 2):
        if reason := _CANNOT_WRITE.get(code[:length]):
            return reason
    if any(isinstance(each, asyncpg.TargetServerAttributeNotMatched) for each in _chain(error)):
        return _CANNOT_WRITE["25006"]
    return ""


def is_closed_error(error: BaseException) -> bool:
    """The driver's complaint about a connection that is closed has no code."""
    return isinstance(error, asyncpg.InterfaceError) and "closed" in str(error)


def is_conflict(error: BaseException) -> bool:
    """Whether the same may succeed when it is run again at once."""
    return _code(error) in _CONFLICTS or any(
        # The tables changed below a prepared statement: the driver has forgotten it by now.
        isinstance(each, asyncpg.InvalidCachedStatementError)
        for each in _chain(error)
    )


def is_locked_out(error: BaseException) -> bool:
    """Whether a lock was waited for in vain (lock_not_available)."""
    return _code(error) == "55P03"


def is_harmless(error: BaseException) -> bool:
    """Whether the connection can go on after this."""
    return failure_of(error) is None or _code(error) in _HARMLESS


def _unavailable(sentence: str) -> UnavailableError:
    return UnavailableError(sentence, retry_after_ms=RETRY_AFTER_MS)
