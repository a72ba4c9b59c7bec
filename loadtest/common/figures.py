"""Percentiles and medians."""

import math
from collections.abc import Iterable, Sequence
from statistics import median as _median


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted values; ``share`` from 0 to 1. NaN of nothing."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Iterable[float]) -> float:
    """The median; NaN of nothing."""
    found = list(values)
    return _median(found) if found else math.nan


def milliseconds(value: float) -> str:
    """For a table: three digits that matter."""
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def mebibytes(value: float) -> str:
    """Bytes as MiB, for a table."""
    return f"{value / 1024 / 1024:.1f}"
