"""Latencies and deliveries counted, and the report."""
# ruff: noqa: E501 lines of the report keep their width in the document

import argparse
from collections import Counter
from collections.abc import Sequence

from common import plot, report
from common.figures import milliseconds, percentile
from common.paths import REPORTS

from replaying.listeners import Listener
from replaying.scene import Outcome
from replaying.tail import HISTORY

STEP_SECONDS = 0.25
"""Of the plot."""


def count_deliveries(outcome: Outcome, listeners: Sequence[Listener], said: int) -> None:
    """The figures of acks and deliveries, of ``said`` messages."""
    began = min(outcome.sent_at.values(), default=0.0)
    latencies: list[float] = []
    bins: Counter[int] = Counter()
    for listener in listeners:
        for seq, at in listener.at:
            bins[int((at - began) / STEP_SECONDS)] += 1
            if seq in outcome.sent_at:
                latencies.append((at - outcome.sent_at[seq]) * 1_000)
    latencies.sort()
    outcome.figure("deliveries", f"{len(latencies):,} of {said * len(listeners):,}")
    for name, found in (("ack", sorted(outcome.acks)), ("delivery", latencies)):
        figures = ", ".join(
            milliseconds(percentile(found, share)) for share in (0.5, 0.95, 0.99, 1)
        )
        outcome.figure(f"{name}: p50, p95, p99, most, ms", figures)
    outcome.deliveries = [bins[at] / STEP_SECONDS for at in range(max(bins, default=0) + 1)]


def table(outcome: Outcome) -> str:
    """All figures."""
    return report.table(("figure", "one run"), outcome.figures)


def write(outcome: Outcome, options: argparse.Namespace) -> None:
    """The report and its plot."""
    report.write(REPORTS / "replay.md", page(outcome, options))
    title = f"Deliveries to {options.listeners} listeners"
    drawn = plot.svg(title, "deliveries a second", STEP_SECONDS, outcome.deliveries)
    report.write(REPORTS / "replay.svg", drawn)


def page(outcome: Outcome, options: argparse.Namespace) -> str:
    """The report."""
    command = (
        f".venv/bin/python loadtest/replay.py FILE.jsonl --report --messages {options.messages} "
        f"--part {options.part} --clients {options.clients} --listeners {options.listeners} "
        f"--rate {options.rate:g}"
    )
    said = "\n".join(outcome.said)
    return f"""# Replay of real chat

Input: {options.about or "a file of JSON lines"}. All of it is imported; a second import of the same
file stores nothing. Then its {options.part} {options.messages:,} messages are said again, live, at
{options.rate:g} messages a second, each by a connection authenticated as its author: {options.clients} clients at
once, and where there are more authors, the client that was silent longest comes back as the next
one. {options.listeners} listeners and a `storm tail` follow. Checked:

- the imported history, read back by REST, has authors, texts and times of the file, in its order;
- the live history has what was said, each author's messages in the order of saying, without a hole;
- every listener got exactly that, every `seq` once, in order;
- unread counts of every listener: all of it, and after reading a part of it, the rest;
- `storm tail --json -n {HISTORY}`, started before, shows the last {HISTORY} of history, then all of it, in order.

{report.verdict(outcome.faults)}

{report.circumstances(command)}

{table(outcome)}

![Deliveries a second over the time of the replay](replay.svg)

```text
{said}
```
"""
