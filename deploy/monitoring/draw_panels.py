"""Draw the panels of the dashboard as one picture, without Grafana: the same queries, asked of a
Prometheus, in the same places.

    .venv/bin/python deploy/monitoring/draw_panels.py --prometheus http://127.0.0.1:9090 \
        --minutes 15 --output dashboard.png
"""

import argparse
import json
import math
import sys
import textwrap
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from drawing.asking import Asker, Line
from drawing.units import written
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, MultipleLocator

DASHBOARD = Path(__file__).with_name("grafana") / "dashboards/storm.json"
WIDTH_INCHES, UNIT_INCHES = 16.0, 0.36
GROUND, PANEL, GRID, TEXT, FAINT = "#111217", "#181b1f", "#2c3235", "#d8d9da", "#8e8e8e"
COLOURS = ("#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9")
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}
LEGEND = 7
"""Lines that the legend names; the fullest first."""

Json = dict[str, Any]


def draw(dashboard: Json, asker: Asker, rows: list[str]) -> Figure:
    """The panels of these rows, or of all when none is named."""
    panels = _chosen(dashboard["panels"], rows)
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) + 1.0
    figure = pyplot.figure(figsize=(WIDTH_INCHES, height * UNIT_INCHES), facecolor=GROUND)
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] / 24, 1 - (place["y"] + 1) / height
        if panel["type"] == "row":
            figure.text(0.008, top - 0.75 / height, panel["title"], color=TEXT, fontsize=11)
            continue
        box = (
            left + 0.003,
            top - place["h"] / height,
            place["w"] / 24 - 0.006,
            place["h"] / height,
        )
        _panel(figure, panel, asker, box, height)
    moment = datetime.fromtimestamp(asker.end).astimezone()
    title = f"{dashboard['title']}   {(asker.end - asker.begin) / 60:.0f} min to {moment:%H:%M:%S}"
    figure.text(0.008, 1 - 0.7 / height, title, color=TEXT, fontsize=13, weight="bold")
    return figure


def _chosen(panels: list[Json], rows: list[str]) -> list[Json]:
    """The panels of the rows, moved up to where the left out ones were."""
    chosen: list[Json] = []
    shift, keep, end = 0, True, 0
    for panel in panels:
        place = panel["gridPos"]
        if panel["type"] == "row":
            keep = not rows or panel["title"] in rows
            shift = place["y"] - end
        if keep:
            chosen.append({**panel, "gridPos": {**place, "y": place["y"] - shift}})
            end = max(end, place["y"] - shift + place["h"])
    if not chosen:
        raise SystemExit(f"no row of the dashboard is called {', '.join(rows)}")
    return chosen


def _panel(
    figure: Figure, panel: Json, asker: Asker, box: tuple[float, float, float, float], height: float
) -> None:
    left, bottom, width, tall = box
    gap = 0.12 / height
    frame = figure.add_axes((left, bottom + gap, width, tall - 2 * gap))
    frame.set_facecolor(PANEL)
    frame.set_xticks([])
    frame.set_yticks([])
    for spine in frame.spines.values():
        spine.set_color(GRID)
    head = bottom + tall - gap - 0.62 / height
    figure.text(left + 0.006, head, panel["title"], color=TEXT, fontsize=9)
    lines = [line for target in panel["targets"] for line in asker.lines(target)]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "stat":
        value = lines[0].values[-1] if lines else math.nan
        frame.text(
            0.5, 0.4, written(value, unit), color=_colour(panel, value), fontsize=22,
            ha="center", va="center", transform=frame.transAxes,
        )  # fmt: skip
        return
    inner = (left + 0.052, bottom + 2.0 / height, width - 0.064, tall - 3.1 / height)
    axes = figure.add_axes(inner)
    _curves(axes, panel, asker, lines, unit)
    _legend(figure, axes, lines, unit, (left + 0.004, bottom + 0.3 / height))


def _curves(axes: Axes, panel: Json, asker: Asker, lines: list[Line], unit: str) -> None:
    axes.set_facecolor(PANEL)
    axes.tick_params(colors=FAINT, labelsize=7, length=0)
    axes.grid(color=GRID, linewidth=0.6)
    for spine in axes.spines.values():
        spine.set_visible(False)
    defaults = panel["fieldConfig"]["defaults"]
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    drawn = [line for line in lines if not all(map(math.isnan, line.values))]
    if not drawn:
        axes.text(
            0.5, 0.5, "No data", color=FAINT, fontsize=9, ha="center", transform=axes.transAxes
        )
    floor: dict[float, float] = {}
    highest = 0.0
    for index, line in enumerate(drawn):
        times = [datetime.fromtimestamp(at).astimezone() for at in line.times]
        below = [floor.get(at, 0.0) if stacked else 0.0 for at in line.times]
        values = [value + base for value, base in zip(line.values, below, strict=True)]
        highest = max(highest, *(value for value in values if not math.isnan(value)))
        if stacked:
            floor.update(zip(line.times, values, strict=True))
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(times, values, color=colour, linewidth=1.1, label=line.name)  # type: ignore[arg-type]
        shade = defaults["custom"]["fillOpacity"] / 100
        axes.fill_between(times, below, values, color=colour, alpha=shade, linewidth=0)  # type: ignore[arg-type]
    top = defaults.get("max") or highest or 1.0
    axes.set_ylim(0, top * 1.05)
    begin, end = (datetime.fromtimestamp(at).astimezone() for at in (asker.begin, asker.end))
    axes.set_xlim(begin, end)  # type: ignore[arg-type]
    axes.yaxis.set_major_locator(_ticks(top, unit))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, unit)))
    axes.xaxis.set_major_locator(AutoDateLocator(maxticks=5))  # type: ignore[no-untyped-call]
    form = "%H:%M:%S" if asker.end - asker.begin < 600 else "%H:%M"
    axes.xaxis.set_major_formatter(DateFormatter(form, tz=begin.tzinfo))  # type: ignore[no-untyped-call]


def _ticks(top: float, unit: str) -> Locator:
    """Where numbers stand: bytes in powers of two, the rest in round numbers."""
    if unit == "bytes":
        return MultipleLocator(2.0 ** math.ceil(math.log2(max(top, 4.0) / 4)))
    return MaxNLocator(4)


def _legend(
    figure: Figure, axes: Axes, lines: list[Line], unit: str, corner: tuple[float, float]
) -> None:
    handles, names = axes.get_legend_handles_labels()
    last = {line.name: line.values[-1] for line in lines}
    labels = [
        textwrap.shorten(f"{name}  {written(last[name], unit)}", 44) for name in names[:LEGEND]
    ]
    if not labels:
        return
    figure.legend(
        handles[:LEGEND], labels, loc="lower left", bbox_to_anchor=corner, ncols=len(labels),
        frameon=False, fontsize=7.5, labelcolor=TEXT, handlelength=1.0, columnspacing=1.2,
        borderpad=0, borderaxespad=0.2,
    )  # fmt: skip


def _colour(panel: Json, value: float) -> str:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return NAMED[reached[-1]] if not math.isnan(value) else FAINT


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    add = parser.add_argument
    add("--prometheus", default="http://127.0.0.1:9090", help="its address")
    add("--minutes", type=float, default=15.0, help="how far back (15)")
    add("--end", type=float, help="seconds since 1970; default: now")
    add("--interval", type=float, default=15.0, help="seconds between two scrapes (15)")
    add("--row", action="append", default=[], help="only this row; may be said again")
    add("--dashboard", type=Path, default=DASHBOARD)
    add("--output", type=Path, required=True, help="a .png or .svg file")
    options = parser.parse_args()
    end = options.end or time.time()
    mpl.use("Agg")
    asker = Asker(options.prometheus, end - options.minutes * 60, end, options.interval)
    figure = draw(json.loads(options.dashboard.read_text("utf-8")), asker, options.row)
    figure.savefig(options.output, dpi=96, facecolor=GROUND)
    return 0


if __name__ == "__main__":
    sys.exit(main())
