"""Medians and ratios over the runs."""

from collections.abc import Sequence
from statistics import median
from typing import Any

Run = dict[str, Any]
Path = tuple[str, ...]

NONE = "-"
"""Stands where a run has no such figure."""


def values(runs: Sequence[Run], *path: str) -> list[float]:
    """One figure from every run that has it."""
    found = []
    for run in runs:
        at: Any = run
        for name in path:
            at = at.get(name) if isinstance(at, dict) else None
        if at is not None:
            found.append(float(at))
    return found


def middle(runs: Sequence[Run], *path: str) -> float | None:
    """The median of one figure."""
    found = values(runs, *path)
    return median(found) if found else None


def ratio(runs: Sequence[Run], top: Path, bottom: Path) -> float | None:
    """The median of the ratios within each run: what slows a whole run cancels out."""
    found = []
    for run in runs:
        above, below = values([run], *top), values([run], *bottom)
        if above and below and below[0]:
            found.append(above[0] / below[0])
    return median(found) if found else None


def number(value: float | None) -> str:
    """Three significant digits, thousands apart; ``NONE`` when there is none."""
    if value is None:
        return NONE
    if abs(value) < 100:
        return f"{value:.3g}"
    return f"{round(value, 3 - len(str(int(abs(value))))):,.0f}"


def percent(value: float | None) -> str:
    """A ratio as a percentage."""
    return NONE if value is None else f"{value * 100:.0f} %"


def times(value: float | None) -> str:
    """A ratio as a factor."""
    return NONE if value is None else f"{value:.1f}x"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, numbers to the right."""
    line = "| --- |" + " ---: |" * (len(head) - 1)
    return [f"| {' | '.join(row)} |" if row else line for row in (head, (), *rows)]
