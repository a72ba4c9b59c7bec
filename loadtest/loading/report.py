"""The report of a run: Markdown, and plots beside it."""
# ruff: noqa: E501 lines of the report keep their width in the document

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import report
from common.figures import milliseconds
from common.plot import svg

from loading.figures import SLOT_SECONDS
from loading.result import Result
from loading.verdict import expected_messages, levels

_CHANNELS = 20
"""Of those in which something is missing: so many are named."""
_TIMES = {
    "connect": "connect, until `hello`",
    "resume": "resume, until all channels are followed again",
    "ack": "ack",
    "delivery": "delivery in rooms and small rooms",
    "hall": "delivery in the hall",
}
_COUNTS = {
    "sent": "messages sent",
    "acked": "messages acked",
    "delivered": "messages delivered",
    "others": "other events heard",
    "late_vus": "VUs that were there too late for their first connect",
    "dropped": "connections that ended without anybody's wish",
    "acked_again": "acks that came a second time",
    "sent_away": "connections that a node sent away",
    "left": "connections that the behaviour ended",
    "replayed": "messages replayed after an absence of one's own wish",
    "written_on_resume": "messages written when their user was back",
    "holes": "holes seen",
    "filled": "holes that a resume or a repair filled",
    "repairs": "subscriptions repaired after a heartbeat",
    "gaps": "events too old to be replayed",
    "out_of_order": "events out of order",
    "doubled": "events twice",
}


def tables(result: Result) -> str:
    """The service levels and the figures, as they are said at the end, too."""
    rows = [
        (level.name, level.wanted, level.found, "yes" if level.met else "**no**")
        for level in levels(result)
    ]
    parts = [report.table(("service level", "wanted", "found", "met"), rows)]
    rows_of_times = []
    for group, figures in _groups(result):
        for name, text in _TIMES.items():
            found = figures.total.time(name)
            if found.total:
                at = (milliseconds(found.percentile(share)) for share in (0.5, 0.95, 0.99, 1))
                rows_of_times.append((f"{text}{group}", f"{found.total:,}", *at))
    parts.append(report.table(("times, ms", "count", "p50", "p95", "p99", "most"), rows_of_times))
    parts.append(report.table(("counts", ""), _count_rows(result)))
    return "\n\n".join(parts)


def _groups(result: Result) -> Sequence[tuple[str, Any]]:
    if result.slow.ended:
        return [("", result.figures), (", slow readers", result.slow)]
    return [("", result.figures)]


def _count_rows(result: Result) -> list[tuple[str, str]]:
    total = result.figures.total
    rows = [("messages asked for", f"{expected_messages(result):,.0f}")]
    rows += [
        (text, f"{total.count(name):,}") for name, text in _COUNTS.items() if total.count(name)
    ]
    kinds = {"bad:": "errors: ", "refused:": "refused as: ", "closed:": "closed with "}
    for kind, text in kinds.items():
        rows += [
            (f"{text}{name.removeprefix(kind)}{group}", f"{count:,}")
            for group, figures in _groups(result)
            for name, count in sorted(figures.total.counts.items())
            if name.startswith(kind)
        ]
    rows += [(what, f"{count:,}") for what, count in result.refused]
    if result.silences:
        found = ", ".join(f"{seconds:.1f} (at {at:.0f})" for seconds, at in result.silences)
        rows.append(("longest silence of each k6, s (at which second): it stood still", found))
    rows.append(("lost", f"{result.lost:,}"))
    for group, figures in _groups(result):
        if behind := figures.behind(result.heads):
            some = ", ".join(f"{channel}: {count:,}" for channel, count in _most(behind))
            rows.append((f"of it at the end of channels{group} ({len(behind):,} of them)", some))
    return rows


def _most(counts: dict[int, int]) -> list[tuple[int, int]]:
    return sorted(counts.items(), key=lambda each: -each[1])[:_CHANNELS]


def cost_table(result: Result) -> str:
    """What the run took of this machine, group by group."""
    if not result.samples:
        return "No process of STORM was watched."
    first = result.samples[0]
    # While it is held: opening costs something else.
    begin = result.profile.ramp_seconds
    held = [each for each in result.samples if begin <= each["second"] < result.profile.lasts]
    rows = []
    for group in dict.fromkeys(name for sample in result.samples for name in sample["memory"]):
        with_it = [each for each in result.samples if group in each["memory"]]
        most = max(each["memory"][group] for each in with_it)
        before = first["memory"].get(group, 0)
        cores = "-"
        if len(held) > 1 and all(group in each["cpu_seconds"] for each in (held[0], held[-1])):
            used = held[-1]["cpu_seconds"][group] - held[0]["cpu_seconds"][group]
            cores = f"{used / (held[-1]['second'] - held[0]['second']):.2f}"
        rows.append(
            (
                group,
                f"{before / 2**20:,.0f}",
                f"{most / 2**20:,.0f}",
                f"{(most - before) / result.profile.connections / 1024:.2f}",
                cores,
                f"{with_it[-1]['cpu_seconds'][group]:,.1f}",
            )
        )
    head = (
        "processes", "PSS before, MiB", "PSS at most, MiB (of more than 512: resident)", "growth per connection, KiB",
        "cores while held", "CPU in all, s",
    )  # fmt: skip
    tcp = max(each["tcp_bytes"] for each in result.samples) / 2**20
    return (
        report.table(head, rows)
        + f"\n\nThe kernel's buffers of all TCP sockets, both ends: {tcp:,.0f} MiB at most."
    )


def page(result: Result, name: str, command: str, version: str, faults: Sequence[str]) -> str:
    """The whole report; the plots are files ``<name>-….svg`` beside it."""
    profile = result.profile
    mix = ", ".join(f"{share:.0%} {kind}" for kind, share in profile.mix.items())
    falls = f", {profile.ramp_falls:.0%} fewer in the last second than in the first,"
    hall = f" One message to the hall every {profile.hall_every_seconds:g} s."
    notes = "".join(f"- {note}\n" for note in result.notes)
    windows = "".join(
        f"- {window['what']}: second {window['begin']:.0f} to {window['end']:.0f}; "
        f"times count again from second {window['judged_from']:.0f}\n"
        for window in result.windows
    )
    audit = "".join(f"{line}\n" for line in result.audit)
    own = "".join(
        f"- k6 {each['process']}: {', '.join(each['missed']) or 'none'}\n"
        for each in result.summaries
    )
    return f"""# Load: {name}

{profile.about[:1].upper()}{profile.about[1:]}.

{profile.connections:,} users of k6, each with a token of its own, behave as {profile.behaviour.replace("_", " ")}. Each is in a
hall with everyone, in one of {profile.rooms:,} rooms and in one of {profile.smalls:,} small rooms of {profile.small_size}; presence, pings and
heartbeats are on. They come within {profile.ramp_seconds:g} s{falls if profile.ramp_falls else ""} and are held for {profile.hold_seconds:g} s, while together they say
{profile.messages_per_second:g} messages a second ({mix}).{hall if profile.hall_every_seconds else ""}

The load is open: a message has a moment at which it is due, and ack and delivery count from it,
however late it was written. Each user checks that `seq` of each of its channels rises by one; at
the end that is compared with the heads that the store has. Latencies are whole milliseconds of the
machine's clock; percentiles come from buckets of all processes added up, and are upper edges of
buckets. k6 and STORM share the machine, unless a URL was given.

{report.verdict(faults)}

{report.circumstances(command)}

{version}. Processes of k6: {result.processes}; nodes: {profile.nodes or "those of the deployment"}.

{tables(result)}

{_plots_markdown(result, name)}

## What it took

{cost_table(result)}

{"## Faults" + chr(10) + chr(10) + windows if windows else ""}
{"## The audit that rode along" + chr(10) + chr(10) + audit if audit else ""}
{"## What was set for the run" + chr(10) + chr(10) + notes if notes else ""}
## Thresholds that k6 itself saw missed

Each process judges its own users; the verdict above is on all of them.

{own or "- no summaries"}"""


def _plots(result: Result) -> dict[str, tuple[str, str, list[float]]]:
    """Of each plot: title, unit, a value for each slot."""
    slots = result.figures.slots
    last = max(slots, default=0)
    numbers = range(last + 1)

    def rate(name: str) -> list[float]:
        return [slots[n].count(name) / SLOT_SECONDS if n in slots else 0.0 for n in numbers]

    def p95(name: str) -> list[float]:
        found = [slots[n].time(name).percentile(0.95) if n in slots else math.nan for n in numbers]
        return [0.0 if math.isnan(value) else value for value in found]

    opened = [float(slots[n].open) if n in slots else 0.0 for n in numbers]
    return {
        "connections": ("Connections", "open", opened),
        "deliveries": ("Messages delivered", "a second", rate("delivered")),
        "acks": ("Messages acked", "a second", rate("acked")),
        "delivery-p95": ("Delivery, p95", "ms", p95("delivery")),
        "ack-p95": ("Ack, p95", "ms", p95("ack")),
    }


def _plots_markdown(result: Result, name: str) -> str:
    return "\n".join(
        f"![{title}, {unit}]({name}-{plot}.svg)\n"
        for plot, (title, unit, _) in _plots(result).items()
    )


def write(path: Path, result: Result, command: str, version: str, faults: Sequence[str]) -> None:
    """The report, and its plots beside it."""
    name = path.stem
    report.write(path, page(result, name, command, version, faults))
    for plot, (title, unit, values) in _plots(result).items():
        path.with_name(f"{name}-{plot}.svg").write_text(svg(title, unit, SLOT_SECONDS, values))
