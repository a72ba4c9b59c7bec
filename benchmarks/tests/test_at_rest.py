"""What small channels cost is measured on what the node really uses."""
# ruff: noqa: S101 tests assert

import asyncio
from pathlib import Path

import at_rest
import pytest


def test_a_feed_and_a_room_are_small_at_rest() -> None:
    """Empty containers of each feed would be a kilobyte; names as a set another one."""
    assert 200 < at_rest.bytes_each(at_rest.feed, 500) < 900
    assert 200 < at_rest.bytes_each(at_rest.room, 500) < 1_100


def test_every_row_has_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_rest, "EVENTS", 500)
    monkeypatch.setattr(at_rest, "RUNS", 1)
    rows = asyncio.run(at_rest.figures(100, tmp_path))
    assert len(rows) == 8
    for own, other in rows.values():
        assert own > 0
        assert other is None or other > 0
    own, other = rows["the same after one message, bytes"]
    assert other is not None
    assert own + 500 < other
    for row in ("a feed with 167 listeners, bytes", "a room of presence with ten users, bytes"):
        own, other = rows[row]
        assert other is not None
        assert own * 1.2 < other
    own, other = rows["a subscription, bytes"]
    assert other is not None
    assert own * 5 < other
