"""The page: medians, ratios, goals, and the prose that stays."""
# ruff: noqa: S101 tests assert

from typing import Any

import pytest
from harness import figures, report
from harness.goals import goals


def _load(rate: float) -> dict[str, Any]:
    busy = {"other_cpu_seconds": 0.1, "elapsed_seconds": 1.0}
    return {"per_second": rate, "per_cpu_second": rate, "frame_bytes": 130.0, **busy}


def _room(rate: float, size: float) -> dict[str, Any]:
    loads = ("upgrade", "reconnect", "deliver_1", "deliver_4", "deliver_16")
    return {name: _load(rate) for name in loads} | {
        "idle_bytes": size,
        "idle_bytes_after_broadcast": size,
    }


def _run(storm: float, limit: float, peer: float) -> dict[str, Any]:
    return {
        "room": {"storm": _room(storm, 2_000), "c": _room(limit, 50), "ws": _room(peer, 6_000)},
        "durable": {"senders_8": {"per_second": 12_345.0}, "limit_1": {"per_second": 90_000.0}},
    }


RUNS = [_run(80, 100, 50), _run(8, 10, 4), _run(900, 1_000, 100)]


def test_ratios_are_made_within_runs() -> None:
    storm, limit = (("room", who, "deliver_1", "per_second") for who in ("storm", "c"))
    assert figures.middle(RUNS, *storm) == 80
    assert figures.ratio(RUNS, storm, limit) == pytest.approx(0.8)
    assert figures.ratio(RUNS, storm, ("room", "fastapi", "deliver_1", "per_second")) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (1_364.4, "1,360"), (121_499.0, "121,000"), (3.14159, "3.14"), (999.9, "1,000")],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert figures.number(value) == text


def test_goals_say_which_are_reached() -> None:
    text = "\n".join(goals(RUNS))
    assert "| 2,000 | yes |" in text
    assert "| 80 % | yes |" in text
    assert "| 2.0x | yes |" in text
    assert "| 12,300 | yes |" in text
    slow = "\n".join(goals([_run(60, 100, 61)]))
    assert slow.count("**no**") == 2


def test_figures_replace_the_old_ones_and_leave_the_prose() -> None:
    result = {
        "date": "today",
        "commit": "abc",
        "settings": {"connections": 10_000, "seconds": 8.0},
        "machine": {"kernel": "Linux"},
        "versions": {"Python": "3.11"},
        "runs": RUNS,
        "failures": ["run 1, ws: it hung"],
    }
    text = report.render(result)
    page = report.insert(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", text)
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    assert "it hung" in page
    assert "| STORM |" in page
    with pytest.raises(ValueError, match="no markers"):
        report.insert("a page", text)
