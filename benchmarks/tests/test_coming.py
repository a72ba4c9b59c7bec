"""The benchmark of users who come measures what it says."""
# ruff: noqa: S101 tests assert

import coming
import pytest


async def test_it_measures_both_ways_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    await coming.main(200)
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row[:13] for row in rows] == ["the right to ", "three answers"]
    for row in rows:
        before, after, ratio = (float(cell.rstrip("x")) for cell in row.split()[-3:])
        assert before > 0
        assert after > 0
        assert ratio == pytest.approx(before / after, rel=0.5)
