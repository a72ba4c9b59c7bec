"""Figures as tables, and the report of a run."""

import math
from collections.abc import Sequence
from pathlib import Path

from common import report
from common.figures import milliseconds
from common.plot import svg

from swarming.run import Phase, Run

_TIMES = {
    "connect": "from the intended moment to the last `subscribed`",
    "back_after": "from the loss, or the intended moment, to the last `subscribed`",
    "ack": "ack",
    "delivery": "delivery",
    "replayed": "delivery by replay, after an absence",
    "send_late": "the swarm's own lateness in sending",
}
_COUNTS = (
    "due", "sent", "resent", "unsendable", "acked", "refused", "deliveries", "frames", "receives",
    "presence", "heartbeats", "pings", "closes", "back", "errors", "holes", "late_fills",
    "doubled", "gaps", "lost",
)  # fmt: skip


def tables(run: Run) -> str:
    """Phases, latencies, steps of a search, cost."""
    phases = [phase for phase in run.phases if not phase.more.get("step")]
    found = [phase_table(phases), time_table(phases)]
    if steps := [phase for phase in run.phases if phase.more.get("step")]:
        found.append(step_table(steps))
    return "\n\n".join([*found, cost_table(run)])


def step_table(steps: Sequence[Phase]) -> str:
    """The search of a highest rate, a row for each try."""
    rows = []
    for phase in steps:
        delivery = phase.state.histograms["delivery"]
        rows.append(
            [
                f"{phase.more['due_per_second']:,.0f}",
                f"{phase.more['deliveries_per_second']:,.0f}",
                *(milliseconds(delivery.ms(share)) for share in (0.5, 0.95, 0.99)),
                f"{phase.more.get('frames_per_write', 0):.2f}",
                *(f"{phase.cores.get(group, 0):.2f}" for group in ("nodes", "swarm")),
                "yes" if phase.more["in_time"] else "no",
            ]
        )
    head = [
        "deliveries/s due", "delivered in time", "p50, ms", "p95", "p99", "frames per write",
        "cores of nodes", "of swarm", "well",
    ]  # fmt: skip
    return report.table(head, rows)


def phase_table(phases: Sequence[Phase]) -> str:
    """Counters of each phase, a row for each that is not 0 everywhere."""
    rows: list[list[str]] = [["seconds", *(f"{phase.seconds:,.1f}" for phase in phases)]]
    for name in _COUNTS:
        values = [phase.state[name] for phase in phases]
        if any(values) or name == "lost":
            rows.append([name.replace("_", " "), *(f"{value:,}" for value in values)])
    for name in ("deliveries_per_second", "frames_per_write", "first_ms_median", "last_ms_median"):
        found = [phase.more.get(name) for phase in phases]
        if any(value is not None for value in found):
            cells = ["-" if value is None else f"{value:,.2f}" for value in found]
            rows.append([name.replace("_", " "), *cells])
    groups = {group: None for phase in phases for group in phase.cores}
    for group in groups:
        cells = [f"{phase.cores.get(group, 0):.2f}" for phase in phases]
        rows.append([f"cores of {group}", *cells])
    return report.table(["counted", *(phase.name for phase in phases)], rows)


def time_table(phases: Sequence[Phase]) -> str:
    """Latencies in ms, of each phase that has them."""
    rows = []
    for phase in phases:
        for name, text in _TIMES.items():
            found = phase.state.histograms[name]
            if found.total:
                times = [milliseconds(found.ms(share)) for share in (0.5, 0.95, 0.99, 0.999, 1)]
                rows.append([f"{phase.name}: {text}", f"{found.total:,}", *times])
    return report.table(
        ["ms", "count", "p50", "p95", "p99", "p99.9", "most"], rows or [["none", *["-"] * 6]]
    )


def cost_table(run: Run) -> str:
    """Memory and processor time by group of processes, and by connection."""
    samples = run.watch.samples
    rows = []
    for group in samples[0].memory:
        sizes = [sample.memory.get(group, 0) for sample in samples]
        growth = (max(sizes) - sizes[0]) / run.options.connections
        rows.append(
            [
                group,
                *(f"{size / 2**20:,.0f}" for size in (sizes[0], max(sizes), sizes[-1])),
                f"{growth:,.0f}",
                f"{samples[-1].cpu_seconds.get(group, 0.0):,.1f}",
            ]
        )
    head = ["processes", "PSS before, MiB", "at most", "at the end", "B per connection", "CPU, s"]
    tcp = max(sample.tcp_bytes for sample in samples) / 2**20
    free = (run.free_before - run.free_open) / run.options.connections
    text = (
        "All memory that the machine had less once everybody was there, kernel and both ends "
        f"included: {free:,.0f} B per connection. The kernel's TCP buffers: {tcp:,.0f} MiB at most."
    )
    costs = f"{_all_in(run)}{_idle_cost(run)}{_returned(run)}"
    return f"{report.table(head, rows)}\n\n{text}{costs}"


def _all_in(run: Run) -> str:
    """What a connection takes of the server's side: the nodes, and its end of the kernel's."""
    samples = run.watch.samples
    if "nodes" not in samples[0].memory:
        return ""
    per = run.options.connections
    nodes, kernel = (
        (max(sizes) - sizes[0]) / per
        for sizes in (
            [sample.memory.get("nodes", 0) for sample in samples],
            [sample.kernel_bytes for sample in samples],
        )
    )
    # Both ends have a socket, an inode, a descriptor and a place in epoll; the client's port is
    # an object more, so half is rather too much for the server.
    return (
        f" The kernel's objects and buffers: {kernel:,.0f} B for the two ends of a connection, "
        f"all that grew counted. The server's end, with half of that and the nodes at their most: "
        f"{nodes + kernel / 2:,.0f} B."
    )


def _returned(run: Run) -> str:
    """Of the nodes, when everybody had left."""
    if run.returned is None:
        return ""
    return f" When everybody had left, the nodes gave back {run.returned:.0%} of what they took."


def _idle_cost(run: Run) -> str:
    """Of the nodes in the phase in which nobody speaks."""
    for phase in run.phases:
        if phase.name in ("idle", "calm") and "nodes" in phase.cores:
            each = phase.cores["nodes"] / run.options.connections * 1e6
            return f" While nobody spoke, the nodes used {each:.2f} µs/s per connection."
    return ""


def page(run: Run, mode: str, command: str, notes: Sequence[str], name: str) -> str:
    """The whole report; plots are files ``<name>-….svg`` beside it."""
    plots = "\n".join(f"![{title}]({name}-{plot}.svg)\n" for plot, title, _, _ in _plots(run))
    processes = len(run.fleet.processes)
    own = sum(phase.state.cpu_seconds for phase in run.phases)
    nodes = run.options.nodes if run.server.stack is not None else "other people's"
    changed = "".join(f"- {note}\n" for note in notes)
    return f"""# Swarm: {mode}, {run.options.connections:,} connections

{run.options.connections:,} users, each with a token of its own, from {processes}
processes of the swarm to {nodes} nodes. A message has a moment at which it is due;
ack and delivery count from it, however late it was written, and each opening counts from the moment
at which it was wanted. Every connection checks that `seq` rises by one in each of its channels; at
the end that is compared with the heads that the store has. Swarm and STORM share the machine unless
a URL was given; the swarm itself used {own:.1f} s of processor time.

{report.verdict(run.faults)}

{report.circumstances(command)}

{tables(run)}

{plots}
{"## Settings of the machine" + chr(10) + chr(10) + changed if changed else ""}"""


def _plots(run: Run) -> list[tuple[str, str, str, list[float]]]:
    """Name, title, unit, a value for each second."""
    wanted = (
        ("open", "Connections", "open"),
        ("deliveries", "Deliveries", "a second"),
        ("delivery_p95_ms", "Delivery, p95", "ms"),
    )
    made = []
    for name, title, unit in wanted:
        values = [row.get(name, 0.0) for row in run.seconds]
        if any(value and not math.isnan(value) for value in values):
            made.append((name.replace("_", "-"), title, unit, values))
    return made


def write(path: Path, run: Run, mode: str, command: str, notes: Sequence[str]) -> None:
    """The report, and its plots beside it."""
    report.write(path, page(run, mode, command, notes, path.stem))
    for plot, title, unit, values in _plots(run):
        drawn = svg(title, unit, run.options.every_seconds, values)
        path.with_name(f"{path.stem}-{plot}.svg").write_text(drawn)
