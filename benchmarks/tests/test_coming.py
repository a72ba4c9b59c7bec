"""The benchmark of users who come measures what it says."""
# ruff: noqa: S101 tests assert

import re

import coming
import pytest


async def test_it_measures_both_ways_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    await coming.main(200)
    _, *rows, waits = capsys.readouterr().out.splitlines()
    assert [row[:13] for row in rows] == [
        "the right to ",
        "rights asked ",
        "three answers",
        "a token of an",
    ]
    assert re.search(r"p95: [\d.]+ ms before, [\d.]+ after$", waits)
    for row in rows:
        before, after, ratio = (float(cell.rstrip("x")) for cell in row.split()[-3:])
        assert before > 0
        assert after > 0
        assert ratio == pytest.approx(before / after, rel=0.5)
