"""The page: tables between two markers of ``docs/benchmarks.md``, the prose around them kept."""

from collections.abc import Sequence
from typing import Any

from harness import durable
from harness.figures import NONE, Run, middle, number, percent, ratio, table, times, values
from harness.goals import goals
from harness.room import FRAMES_PER_WRITE
from harness.servers import LIMIT, PEER_KEYS, SERVERS

BEGIN = "<!-- figures: begin (written by make bench) -->"
END = "<!-- figures: end -->"

UPGRADES = ["upgrade", "reconnect"]
MEMORY = ["idle_bytes", "idle_bytes_after_broadcast"]
DELIVERIES = [f"deliver_{frames}" for frames in FRAMES_PER_WRITE]
QUIET = 0.1
"""Share of a processor that others may take without disturbing what is measured."""
ACKS = ["per_second", "ms_p50", "ms_p95", "ms_p99"]


def _present(runs: Sequence[Run]) -> list[str]:
    return [key for key in SERVERS if any(key in run["room"] for run in runs)]


def _headline(runs: Sequence[Run]) -> list[str]:
    head = ["server", "upgrades/s", "again", "bytes per idle connection", "after a broadcast"]
    head += [f"deliveries/s, {frames} a write" for frames in FRAMES_PER_WRITE]
    rows = []
    for key in _present(runs):
        figures = [middle(runs, "room", key, name, "per_second") for name in UPGRADES]
        figures += [middle(runs, "room", key, name) for name in MEMORY]
        figures += [middle(runs, "room", key, name, "per_second") for name in DELIVERIES]
        rows.append([SERVERS[key].title, *map(number, figures)])
    return table(head, rows)


def _per_cpu_second(runs: Sequence[Run]) -> list[str]:
    head = ["server", "upgrades"]
    head += [f"deliveries, {frames} a write" for frames in FRAMES_PER_WRITE]
    head += [f"frames a segment at {frames}" for frames in FRAMES_PER_WRITE]
    head += ["bytes a frame", "deliveries/s, 1 a write: least to most"]
    rows = []
    for key in _present(runs):
        rated = (UPGRADES[0], *DELIVERIES)
        figures = [middle(runs, "room", key, name, "per_cpu_second") for name in rated]
        figures += [middle(runs, "room", key, name, "frames_per_segment") for name in DELIVERIES]
        figures.append(middle(runs, "room", key, "deliver_1", "frame_bytes"))
        row = [SERVERS[key].title, *map(number, figures)]
        rates = values(runs, "room", key, "deliver_1", "per_second")
        row.append(f"{number(min(rates))} to {number(max(rates))}" if rates else NONE)
        rows.append(row)
    return table(head, rows)


def _against(runs: Sequence[Run]) -> list[str]:
    peers = [key for key in PEER_KEYS if key in _present(runs)]
    rows = []
    names = [*UPGRADES, *DELIVERIES]
    labels = ["upgrades/s", "upgrades/s, again"]
    labels += [f"deliveries/s, {frames} a write" for frames in FRAMES_PER_WRITE]
    for label, name in zip(labels, names, strict=True):
        mine = ("room", "storm", name, "per_second")
        row = [label, percent(ratio(runs, mine, ("room", LIMIT, name, "per_second")))]
        row += [times(ratio(runs, mine, ("room", key, name, "per_second"))) for key in peers]
        rows.append(row)
    own = ("room", "storm", "idle_bytes")
    memory = [times(ratio(runs, ("room", key, "idle_bytes"), own)) for key in peers]
    rows.append(["connections in the same memory", NONE, *memory])
    return table(["STORM", "of the limit", *(f"of {SERVERS[k].title}" for k in peers)], rows)


def _durable(runs: Sequence[Run]) -> list[str]:
    loads = [(f"senders_{w}", w, "one listener") for w in durable.WINDOWS]
    everybody = durable.EVERYBODY_WINDOW
    loads.append((f"everybody_{everybody}", everybody, f"all {durable.SENDERS} senders"))
    rows = []
    for name, window, listeners in loads:
        figures = [middle(runs, "durable", name, level) for level in ACKS]
        label = f"{durable.SENDERS} senders, {window} outstanding each"
        rows.append([label, listeners, *map(number, figures)])
    for group in durable.GROUPS:
        rate = number(middle(runs, "durable", f"limit_{group}", "per_second"))
        label = f"the limit: a plain loop, {group} a commit"
        rows.append([label, NONE, rate, NONE, NONE, NONE])
    head = ["load", "received by", "acked/s", "ack p50, ms", "p95, ms", "p99, ms"]
    return table(head, rows)


def render(result: dict[str, Any]) -> str:
    """Everything between the markers."""
    runs, settings = result["runs"], result["settings"]
    lines = [
        f"{result['date']}, commit {result['commit']}: {settings['connections']:,} connections,"
        f" medians of {len(runs)} runs, {settings['seconds']:g} s for each load.",
    ]
    if _present(runs):
        lines += ["", *_headline(runs)]
    if "storm" in _present(runs):
        lines += ["", "### STORM against the others", "", *_against(runs)]
        lines += ["", "### Goals", "", *goals(runs)]
    if values(runs, "durable", "limit_1", "per_second"):
        lines += ["", "### Durable messages on SQLite", "", *_durable(runs)]
    if _present(runs):
        lines += ["", "### For each second of the server's CPU time", "", *_per_cpu_second(runs)]
    busy = [
        share
        for run in runs
        for room in run["room"].values()
        for name in DELIVERIES
        for share in [room[name]["other_cpu_seconds"] / room[name]["elapsed_seconds"]]
    ]
    if busy:
        lines += ["", f"Other processes took {percent(max(busy))} of a processor at most."]
        if max(busy) > QUIET:
            lines.append("That is no quiet machine: the ratios hold better than the figures.")
    facts = result["machine"] | result["versions"]
    lines += ["", "### Machine and versions", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    if result["failures"]:
        lines += ["", "### Failed", "", *(f"- {failure}" for failure in result["failures"])]
    return "\n".join(lines)


def insert(page: str, figures: str, begins: str = BEGIN) -> str:
    """The page with new figures between its markers."""
    before, begin, rest = page.partition(begins)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no markers for the figures")
    return f"{before}{begins}\n\n{figures}\n\n{END}{after}"
