"""The page of ``make bench-peers``: a row for each figure, a column for each server.

A ratio is above 1 where STORM is better, whichever way the figure goes, and is made within each
run, so that what slows a whole run cancels out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.figures import NONE, Path, Run, middle, number, percent, ratio, table, values
from harness.report import QUIET
from harness.room import FRAMES_PER_WRITE
from harness.servers import ALL_PEER_KEYS, LIMIT, SERVERS

BEGIN = "<!-- figures: begin (written by make bench-peers) -->"


@dataclass(frozen=True)
class Row:
    """One figure of every server."""

    label: str
    part: str
    path: Path
    less_is_better: bool = False


ROWS = (
    Row("upgrades/s, new users", "room", ("upgrade", "per_second")),
    Row("upgrades/s, again", "room", ("reconnect", "per_second")),
    Row("bytes per idle connection", "room", ("idle_bytes",), less_is_better=True),
    Row(
        "bytes per connection after a broadcast",
        "room",
        ("idle_bytes_after_broadcast",),
        less_is_better=True,
    ),
    *(
        Row(f"deliveries/s per core, {frames} a write", "room", (f"deliver_{frames}", "per_second"))
        for frames in FRAMES_PER_WRITE
    ),
    Row("delivery p50 at the shared rate, ms", "latency", ("paced", "ms_p50"), True),
    Row("delivery p99 at the shared rate, ms", "latency", ("paced", "ms_p99"), True),
    Row("one message: first delivery, ms", "latency", ("single", "first_ms_p50"), True),
    Row("one message: last delivery, ms", "latency", ("single", "last_ms_p50"), True),
)
# Not compared: what lies behind the figures.
DETAILS = (
    ("upgrades for a second of CPU", "room", ("upgrade", "per_cpu_second")),
    *(
        (f"deliveries for a second of CPU, {n} a write", "room", (f"deliver_{n}", "per_cpu_second"))
        for n in FRAMES_PER_WRITE
    ),
    *(
        (f"frames a segment at {n}", "room", (f"deliver_{n}", "frames_per_segment"))
        for n in FRAMES_PER_WRITE
    ),
    ("bytes a frame", "room", ("deliver_1", "frame_bytes")),
    ("load client's latest send at the shared rate, ms", "latency", ("paced", "send_late_ms_max")),
)


def _present(runs: Sequence[Run]) -> list[str]:
    return [key for key in SERVERS if any(key in run["room"] for run in runs)]


def lead(runs: Sequence[Run], row: Row, key: str) -> float | None:
    """How many times better STORM is than another server; below 1 it is behind."""
    mine, theirs = ((row.part, who, *row.path) for who in ("storm", key))
    return ratio(runs, theirs, mine) if row.less_is_better else ratio(runs, mine, theirs)


def _times(value: float | None) -> str:
    return NONE if value is None else f"{number(value)}x"


def verdict(runs: Sequence[Run], row: Row) -> str:
    """STORM against the peer that is best in this row: ahead, or behind, and by how much."""
    leads = [(found, key) for key in ALL_PEER_KEYS if (found := lead(runs, row, key)) is not None]
    if not leads:
        return NONE
    least, key = min(leads)
    if least >= 1:
        return f"ahead, {_times(least)} {SERVERS[key].title}"
    behind = [f"{_times(found)} {SERVERS[key].title}" for found, key in sorted(leads) if found < 1]
    return f"**behind**: {', '.join(behind)}"


def _figures(runs: Sequence[Run]) -> list[str]:
    keys = _present(runs)
    rows = []
    for row in ROWS:
        found = [number(middle(runs, row.part, key, *row.path)) for key in keys]
        rows.append([row.label, *found, verdict(runs, row)])
    head = ["", *(SERVERS[key].title for key in keys), "STORM against the best peer"]
    return table(head, rows)


def _leads(runs: Sequence[Run]) -> list[str]:
    keys = [key for key in _present(runs) if key != "storm"]
    rows = []
    for row in ROWS:
        found = [(key, lead(runs, row, key)) for key in keys]
        # Behind the limit STORM always is: only peers are worth the emphasis.
        cells = [
            f"**{_times(value)}**"
            if value is not None and value < 1 and key != LIMIT
            else _times(value)
            for key, value in found
        ]
        rows.append([row.label, *cells])
    return table(["STORM is better by", *(f"than {SERVERS[key].title}" for key in keys)], rows)


def _spread(runs: Sequence[Run]) -> list[str]:
    keys = _present(runs)
    rows = []
    for row in ROWS:
        cells = []
        for key in keys:
            found = values(runs, row.part, key, *row.path)
            center = middle(runs, row.part, key, *row.path)
            cells.append(percent((max(found) - min(found)) / abs(center)) if center else NONE)
        rows.append([row.label, *cells])
    return table(["most minus least, of the median", *(SERVERS[key].title for key in keys)], rows)


def _details(runs: Sequence[Run]) -> list[str]:
    keys = _present(runs)
    rows = [
        [label, *(number(middle(runs, part, key, *path)) for key in keys)]
        for label, part, path in DETAILS
    ]
    return table(["", *(SERVERS[key].title for key in keys)], rows)


def _noise(runs: Sequence[Run]) -> list[str]:
    loads = [
        (load["other_cpu_seconds"], load["elapsed_seconds"])
        for run in runs
        for part in ("room", "latency")
        for server in run[part].values()
        for load in server.values()
        if isinstance(load, dict)
    ]
    # Over less than a second, the kernel's clock of CPU time is too coarse.
    most = max((used / elapsed for used, elapsed in loads if elapsed >= 1), default=None)
    if most is None:
        return []
    mean = sum(used for used, _ in loads) / sum(elapsed for _, elapsed in loads)
    lines = [
        "",
        f"Other processes took {percent(mean)} of a processor on average, {percent(most)} at most.",
    ]
    if most > QUIET:
        lines.append("That is no quiet machine: the ratios hold better than the figures.")
    return lines


def render(result: dict[str, Any]) -> str:
    """Everything between the markers."""
    runs, settings = result["runs"], result["settings"]
    lines = [
        f"{result['date']}, commit {result['commit']}: {settings['connections']:,} connections,"
        f" medians of {len(runs)} runs, {settings['seconds']:g} s for each load.",
    ]
    if result["note"]:
        lines += ["", f"**{result['note']}**"]
    if rate := settings["paced_deliveries"]:
        messages = rate / settings["connections"]
        lines += [
            "",
            f"The shared rate is {number(rate)} deliveries/s ({number(messages)} messages/s).",
        ]
    for key, reason in result["skipped"].items():
        lines += ["", f"Not measured: {SERVERS[key].title}. {reason}."]
    lines += ["", *_figures(runs)]
    if "storm" in _present(runs):
        lines += ["", "### STORM against each", "", *_leads(runs)]
    lines += ["", "### Behind the figures", "", *_details(runs)]
    if len(runs) > 1:
        lines += ["", "### Spread of the runs", "", *_spread(runs)]
    lines += _noise(runs)
    lines += ["", "### Machine and versions", ""]
    facts = result["machine"] | result["versions"]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    if result["failures"]:
        lines += ["", "### Failed", "", *(f"- {failure}" for failure in result["failures"])]
    return "\n".join(lines)
