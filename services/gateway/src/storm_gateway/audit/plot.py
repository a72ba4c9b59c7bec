"""Acks and deliveries over time, with the faults shaded. Needs matplotlib, the extra ``audit``."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from storm_gateway.audit.result import Result

HOW_TO_PLOT = "For a plot, install the extra: pip install 'storm-gateway[audit]'"

_ACKS, _DELIVERIES, _ATTEMPTS, _FAULT = "#1d4ed8", "#15803d", "#94a3b8", "#dc2626"
_LABELLED = 6
"""Faults that get their name into the plot; more would cover each other."""


def can_plot() -> bool:
    """Whether the library is there."""
    return find_spec("matplotlib") is not None


def plot(result: Result, path: Path) -> None:
    """Write a PNG. Call only where :func:`can_plot` says yes and the result has a series."""
    from matplotlib.figure import Figure

    series = result.series
    assert series is not None  # noqa: S101 the caller's promise
    times = [place * series.step for place in range(len(series.acks))]
    figure = Figure(figsize=(10, 5.2), dpi=110, layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    figure.suptitle(_title(result), x=0.01, ha="left", fontsize=11)
    top.step(times, series.attempts, where="post", color=_ATTEMPTS, lw=1, label="attempts")
    top.step(times, series.acks, where="post", color=_ACKS, lw=1.6, label="acknowledged")
    top.set_ylabel("messages / s")
    bottom.step(
        times, series.deliveries, where="post", color=_DELIVERIES, lw=1.6, label="delivered"
    )
    bottom.set_ylabel("deliveries / s")
    bottom.set_xlabel("seconds since sending began")
    for axes in (top, bottom):
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, times[-1] + series.step)
        axes.grid(visible=True, color="#e2e8f0", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        _shade(axes, result, times[-1] + series.step)
    _name_faults(top, result)
    for axes in (top, bottom):
        # Above the axes, where neither lines nor names of faults are.
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.99), ncols=2, frameon=False, fontsize=9)
    figure.savefig(path)


def _title(result: Result) -> str:
    verdict = result.verdict
    return (
        f"{result.title}\n{verdict.acknowledged:,} acknowledged, {verdict.lost} lost, "
        f"{verdict.duplicated} duplicated, {verdict.out_of_order} out of order, "
        f"{verdict.phantom} phantom"
    )


def _shade(axes: Any, result: Result, last: float) -> None:
    for repair in result.repairs:
        end = repair.fault.end if repair.fault.end is not None else last
        # A fault that was over at once (a kill) still has to be seen.
        axes.axvspan(
            repair.fault.begin,
            max(end, repair.fault.begin + last / 400),
            color=_FAULT,
            alpha=0.14,
            lw=0,
        )
        axes.axvline(repair.fault.begin, color=_FAULT, lw=0.9)


def _name_faults(axes: Any, result: Result) -> None:
    highest = max([*result.series.attempts, *result.series.acks]) if result.series else 1.0
    axes.set_ylim(0, highest * 1.45 or 1.0)
    for number, repair in enumerate(result.repairs[:_LABELLED]):
        axes.annotate(
            repair.fault.title,
            (repair.fault.begin, highest * (1.34 - 0.12 * (number % 3))),
            xytext=(4, 0),
            textcoords="offset points",
            color=_FAULT,
            fontsize=9,
            va="center",
        )
