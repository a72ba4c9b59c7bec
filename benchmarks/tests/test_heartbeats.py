"""The benchmark of heartbeats measures what it says."""
# ruff: noqa: S101 tests assert

import heartbeats
import pytest


async def test_a_portion_is_the_part_of_all_that_it_should_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await heartbeats.main(400)
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("400 heartbeats with a ping")
    found = {row[:12].strip(): [float(cell) for cell in row.split()[-2:]] for row in rows}
    assert found.keys() == {"at once", "in portions"}
    longest, all_of_it = found["at once"]
    assert 0 < longest == all_of_it
    longest, all_of_it = found["in portions"]
    # Five of them: the longest is at least a fifth, and not all.
    assert all_of_it / 5 <= longest * 1.01
    assert longest < all_of_it
