"""Milliseconds since 1970 ↔ RFC 3339 in UTC, as every answer shows them."""

import time
from datetime import UTC, datetime
from functools import lru_cache


def now_ms() -> int:
    """The clock of this node, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    # Messages of one moment share their second: formatting it once is most of the work saved.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def rfc3339(milliseconds: int) -> str:
    """``2026-11-05T12:30:00.125Z``."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"
