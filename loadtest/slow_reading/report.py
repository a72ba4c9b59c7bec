"""The figures of all runs as tables, and the report."""
# ruff: noqa: E501 lines of the report keep their width in the document

import argparse
from collections.abc import Callable

from common import report
from common.figures import mebibytes, median, milliseconds, percentile
from common.paths import REPORTS

from slow_reading.conditions import (
    PATIENCE_SECONDS,
    RECEIVE_BUFFER,
    SAMPLE_SECONDS,
    SENDERS,
    SHARE,
    WARM_SECONDS,
)
from slow_reading.result import Result


def tables(results: list[Result]) -> str:
    """The figures of each run, and the medians of both kinds."""
    ordered = sorted(results, key=lambda result: result.slow)
    kinds = [[r for r in results if not r.slow], [r for r in results if r.slow]]
    head = ["figure"]
    head += [f"{'B' if r.slow else 'A'}{n % len(kinds[0]) + 1}" for n, r in enumerate(ordered)]
    head += ["median A", "median B"]
    rows: list[list[str]] = []
    for name, show, of in _ROWS:
        cells = [*(of(r) for r in ordered), *(median(of(r) for r in kind) for kind in kinds)]
        rows.append([name, *(show(cell) for cell in cells)])
    return report.table(head, rows)


def _count(value: float) -> str:
    return f"{value:,.0f}"


_ROWS: list[tuple[str, Callable[[float], str], Callable[[Result], float]]] = [
    ("others: p50 while 10 % do not read, ms", milliseconds, lambda r: percentile(r.during, 0.5)),
    ("others: p99 while 10 % do not read, ms", milliseconds, lambda r: percentile(r.during, 0.99)),
    ("others: most, ms", milliseconds, lambda r: percentile(r.during, 1)),
    ("others: p50 while they come back, ms", milliseconds, lambda r: percentile(r.back, 0.5)),
    ("others: p99 while they come back, ms", milliseconds, lambda r: percentile(r.back, 0.99)),
    ("deliveries measured", _count, lambda r: len(r.during)),
    ("commits of more than 100 ms", _count, lambda r: r.slow_commits),
    ("window, s", milliseconds, lambda r: r.window),
    ("gateway, share of a core, %", milliseconds, lambda r: r.cpu * 100),
    ("gateway PSS before, MiB", mebibytes, lambda r: r.pss_before),
    ("gateway PSS growth, MiB", mebibytes, lambda r: r.pss_growth),
    ("outboxes by the gateway's count, most, MiB", mebibytes, lambda r: r.outbox),
    ("kernel: gateway's send queues, most, MiB", mebibytes, lambda r: r.kernel_send),
    ("kernel: growth of all TCP memory, both ends, MiB", mebibytes, lambda r: r.kernel_growth),
    ("slow readers closed (metric)", _count, lambda r: r.closed),
    ("of them saw close code 4001", _count, lambda r: r.saw),
    ("of them resumed", _count, lambda r: r.resumed),
    ("events lost", _count, lambda r: r.lost),
    ("events twice", _count, lambda r: r.repeated),
    ("connections behind the head at the end", _count, lambda r: r.short),
]


def page(results: list[Result], options: argparse.Namespace, faults: list[str]) -> str:
    """The report."""
    slow = round(options.connections * SHARE)
    command = (
        f".venv/bin/python loadtest/slow_readers.py --report --connections {options.connections} "
        f"--rate {options.rate:g} --payload {options.payload} --runs {options.runs}"
    )
    return f"""# Slow readers: {slow} of {options.connections} connections do not read

{options.connections} connections follow one public channel in which {SENDERS} users say {options.rate:g} messages of
{options.payload} characters a second. In the runs B, after {WARM_SECONDS:g} s in which all read, {slow} connections
stop reading. Their sockets have a receive buffer of {RECEIVE_BUFFER} bytes, so that what they do not read
soon waits in the gateway. {PATIENCE_SECONDS:g} s after the first of them is closed (or when all are) they read
on, find close code 4001, wait a random time up to 0.5 s, and resume with `since`. In the runs A the
same connections read like all others. The runs take turns (A B A B …), each with a gateway of its
own on default settings; client and gateway share the machine, and the client is one process of
Python, so the latencies contain its share too (in A and B alike).

Asked for: the p99 of the others (median of the runs) at most doubles; the gateway's memory grows by
no more than {slow} outboxes of 1 MiB; all slow ones are closed with 4001, resume, and nobody misses
an event or gets one twice.

{report.verdict(faults)}

{report.circumstances(command)}

{tables(results)}

*Latency*: from writing the message to having it in the receiving process, over all connections that
read. A message is delivered
after its commit, so a disk that stalls (see *commits of more than 100 ms*) delays all. *PSS growth*: the most that the gateway had above what it had before, sampled every
{SAMPLE_SECONDS:g} s. It is far below the count of the outboxes because a backlog holds references to
frames that all connections share. *Kernel*: what the kernel keeps for slow sockets comes on top; it
is bounded by its own settings and by `TCP_NOTSENT_LOWAT`, which the gateway sets.
"""


def write(results: list[Result], options: argparse.Namespace, faults: list[str]) -> None:
    """The report as a file."""
    report.write(REPORTS / "slow-readers.md", page(results, options, faults))
