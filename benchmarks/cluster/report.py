"""The measured cluster as Markdown."""

from statistics import median
from typing import Any

BEGIN = "<!-- measured: made by `make bench-cluster` -->"
END = "<!-- end of measured -->"


def _mid(runs: list[Any], *path: str) -> float:
    values = []
    for found in runs:
        for key in path:
            found = found[key]
        values.append(float(found))
    return median(values)


def _latency(runs: list[Any]) -> list[str]:
    lines = [
        "### One message one way, 500 a second",
        "",
        "| Way | received p50 | p99 | ack p50 | p99 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    names = {
        "forth": "node 1 → node 2",
        "back": "node 2 → node 1",
        "embedded": "one embedded node (SQLite, no servers)",
    }
    for key, name in names.items():
        figures = [
            f"{_mid(runs, key, what, at):.1f} ms"
            for what in ("received_ms", "ack_ms")
            for at in ("p50", "p99")
        ]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return lines


def _group(name: str) -> str:
    return "load clients" if name.startswith("load client") else name


def _acks(runs: list[Any]) -> list[str]:
    lines = [
        "### Durable messages acknowledged: 4 nodes, 200 senders, 10 channels",
        "",
        "| Commits | Outstanding each | Acks/s | p50 | p99 | cluster's cores | acks per core |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    shares: list[str] = []
    for key, name in (("grouped", "grouped"), ("single", "one for each message")):
        for window in runs[0][key]:
            rate, p50, p99 = (
                _mid(runs, key, window, what) for what in ("per_second", "ms_p50", "ms_p99")
            )
            groups: dict[str, float] = {}
            for process in runs[0][key][window]["cores"]:
                cores = _mid(runs, key, window, "cores", process)
                groups[_group(process)] = groups.get(_group(process), 0.0) + cores
            own = sum(cores for group, cores in groups.items() if group not in _OTHERS)
            lines.append(
                f"| {name} | {window.rpartition('_')[2]} | {rate:,.0f} | {p50:.0f} ms |"
                f" {p99:.0f} ms | {own:.2f} | {rate / max(own, 0.01):,.0f} |"
            )
            if not shares:
                shares += [
                    "",
                    "Cores used by each (`other`: processes that are no part of the measurement):",
                    "",
                    f"| Commits | Outstanding | {' | '.join(groups)} |",
                    f"| --- | ---: |{' ---: |' * len(groups)}",
                ]
            used = " | ".join(f"{cores:.2f}" for cores in groups.values())
            shares.append(f"| {name} | {window.rpartition('_')[2]} | {used} |")
    return lines + shares


_OTHERS = ("load clients", "other")


def _revocation(runs: list[Any]) -> list[str]:
    lines = [
        "### The last event that a removed member receives: removed on node 1, connected to node 2",
        "",
        "| | p50 | p99 | longest |",
        "| --- | ---: | ---: | ---: |",
    ]
    for key, name in (
        ("since_start_ms", "since the request was sent"),
        ("since_answer_ms", "since its answer"),
    ):
        figures = " | ".join(f"{_mid(runs, key, at):.1f} ms" for at in ("p50", "p99", "max"))
        lines.append(f"| {name} | {figures} |")
    late = sum(run["events_after_the_end"] for run in runs)
    count = sum(run["removals"] for run in runs)
    return [*lines, "", f"{count:,} removals under traffic; {late} events after `member.left`."]


def _readiness(runs: list[Any]) -> list[str]:
    lines = [
        "### `/readyz` after a backend's loss and return",
        "",
        "| Fault | 503 after | 200 after its return |",
        "| --- | ---: | ---: |",
    ]
    for fault in runs[0]:
        lost, back = _mid(runs, fault, "lost"), _mid(runs, fault, "back")
        lines.append(f"| {fault} | {lost:.1f} s | {back:.1f} s |")
    return lines


def render(result: dict[str, Any]) -> str:
    """The part of the page that was measured."""
    machine = result["machine"]
    counts = ", ".join(f"{part} {len(runs)}" for part, runs in result["runs"].items())
    lines = [
        f"Measured {result['date'][:10]} on {machine['processor']}, {machine['memory']}, "
        f"{machine['kernel']}. Medians of the runs ({counts}). Servers, nodes and clients share "
        "the processors, with whatever else the machine does: the column `other`.",
        "",
    ]
    parts = {
        "latency": _latency,
        "acks": _acks,
        "revocation": _revocation,
        "readiness": _readiness,
    }
    for part, write in parts.items():
        runs = result["runs"].get(part)
        if runs:
            lines += [*write(runs), ""]
    return "\n".join(lines).rstrip()


def insert(page: str, figures: str) -> str:
    """The page with the measured part replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"
