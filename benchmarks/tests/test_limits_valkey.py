"""The benchmark of limits in Valkey measures what it says."""
# ruff: noqa: S101 tests assert

import re

import limits_valkey
import pytest


def test_who_gathers_longer_asks_less_often(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(limits_valkey, "RATES", (100,))
    before = limits_valkey.redis._GATHER_SECONDS
    limits_valkey.main(1)
    assert before == limits_valkey.redis._GATHER_SECONDS
    title, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith("for each of 100 connections a second")
    found = {}
    for row in rows:
        name, was, now = re.fullmatch(r"(.*?) +([\d.]+) +([\d.]+) +[\d.]+x", row).groups()  # type: ignore[union-attr]
        found[name] = float(was), float(now)
    assert list(found) == [
        limits_valkey.NODE,
        limits_valkey.VALKEY,
        limits_valkey.EXCHANGES,
        limits_valkey.REFUSED,
    ]
    was, now = found[limits_valkey.EXCHANGES]
    assert was > 1.5 * now > 0
