"""The benchmark of a late database measures what it says."""
# ruff: noqa: S101 tests assert

from pathlib import Path

import late_database
import pytest


def test_a_bound_that_begins_anew_lets_messages_through_that_one_bound_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(late_database.WAYS, "anew with each answer")
    found = late_database.figures(tmp_path, runs=1, seconds=1.0)
    assert list(found) == list(late_database.WAYS)
    for rows in found.values():
        assert rows[False, False][0] == 1, "all is acknowledged while answers come on time"
    before, now = found.values()
    # The first commit has a new user: six answers, one too many for a bound of three seconds.
    assert before[True, False][0] == 0
    share, half, most = now[True, False]
    assert share > 0.5
    assert 5 * late_database.LATE_SECONDS <= half <= most
