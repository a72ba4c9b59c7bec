"""The benchmark of crowds measures what it says."""
# ruff: noqa: S101 tests assert

import crowds
import pytest


async def test_each_way_writes_fewer_frames_than_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crowds, "RUNS", 1)
    monkeypatch.setattr(crowds, "ROOMS", 40)
    found = await crowds.courses(2_000)
    frames = [found[way.name].frames for way in crowds.WAYS]
    assert frames == sorted(set(frames), reverse=True)
    every, *_, now = found.values()
    # Hall and room, each second, to everybody who is there.
    assert every.frames == 2 * sum(range(100, 2_001, 100))
    assert every.seconds > 2 * now.seconds > 0
    for each in found.values():
        assert len(each.waited) == 1 + crowds.ROOMS, "all are told in the end"
    assert set(every.waited.values()) == {0}
    assert max(now.waited.values()) < 60 + 30, "counts wait for a minute, then for the budget"
