"""``make bench``: STORM beside its peers and beside the limit, on the same load.

Builds the load client, installs the peers, then measures one server after the other, over and
over, so that whatever else the machine does hits all of them alike. Prints the figures; a full
run also writes them into ``docs/benchmarks.md`` and ``benchmarks/results/latest.json``.
"""

import argparse
import json
import shutil
import signal
import sys
from functools import partial
from typing import Any

from harness import report
from harness.durable import SENDERS, measure_durable
from harness.machine import commit, machine, now, versions
from harness.paths import LATEST, PAGE, WORK
from harness.progress import say
from harness.room import Plan, measure_room
from harness.servers import LIMIT, PEER_KEYS, SERVERS
from harness.session import (
    SPARE_FILES,
    alone,
    attempt,
    fresh_folder,
    new_plan,
    raise_file_limit,
    settings_of,
)

DURABLE = "durable"
BENCH_SERVERS = (LIMIT, "storm", *PEER_KEYS)
PARTS = (*BENCH_SERVERS, DURABLE)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--runs", type=int, default=3, help="default: 3; medians are reported")
    parser.add_argument("--seconds", type=float, default=8, help="of each load; default: 8")
    parser.add_argument(
        "--quick", action="store_true", help="1,000 connections, 1 run, 3 s: does it work at all?"
    )
    parser.add_argument(
        "--only",
        default=",".join(PARTS),
        metavar="PARTS",
        help=f"comma-separated, of: {', '.join(PARTS)}",
    )
    parser.add_argument(
        "--write",
        action=argparse.BooleanOptionalAction,
        help="write page and results; default: in a full run of all parts",
    )
    options = parser.parse_args(arguments)
    full = options.only == parser.get_default("only") and not options.quick
    if options.write is None:
        options.write = full and options.connections == parser.get_default("connections")
    if options.quick:
        options.connections, options.runs, options.seconds = 1_000, 1, 3.0
    parts = [part.strip() for part in options.only.split(",")]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.durable = DURABLE in parts
    options.servers = [key for key in BENCH_SERVERS if key in parts]
    return options


def summary(room: dict[str, Any]) -> str:
    """One server's figures on one line."""
    deliveries = " / ".join(
        f"{figures['per_second']:,.0f}" for name, figures in room.items() if "deliver_" in name
    )
    return (
        f"{room['upgrade']['per_second']:,.0f} upgrades/s, {room['idle_bytes']:,.0f} bytes each,"
        f" {deliveries} deliveries/s"
    )


def measure(options: argparse.Namespace, plan: Plan) -> tuple[list[dict[str, Any]], list[str]]:
    """All runs, and what failed in them."""
    runs: list[dict[str, Any]] = []
    failures: list[str] = []

    for number in range(1, options.runs + 1):
        run: dict[str, Any] = {"room": {}}
        runs.append(run)
        for key in options.servers:
            what = f"run {number} of {options.runs}, {key}"
            data = fresh_folder(key)
            room = attempt(failures, what, partial(measure_room, SERVERS[key], plan, data))
            if room:
                run["room"][key] = room
                say(f"{what}: {summary(room)}")
        if options.durable:
            what = f"run {number} of {options.runs}, durable"
            data = fresh_folder("durable")
            run["durable"] = attempt(failures, what, partial(measure_durable, plan, data))
            if run["durable"]:
                rates = [f"{load['per_second']:,.0f}" for load in run["durable"].values()]
                say(f"{what}: {' / '.join(rates)} a second, then the limit")
    shutil.rmtree(WORK, ignore_errors=True)
    return runs, failures


def main(arguments: list[str]) -> int:
    """Measure, print, write."""
    options = parse(arguments)
    # Leave by the exception's way, so that no server outlives this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_file_limit(options.connections + SPARE_FILES)
    with alone():
        return run(options)


def run(options: argparse.Namespace) -> int:
    """One whole benchmark."""
    facts = machine()
    for key in options.servers:
        SERVERS[key].install()
    users = max(options.connections, SENDERS + 1)
    plan = new_plan(options.connections, options.seconds, 2 if options.quick else 5, users)
    result: dict[str, Any] = {"date": now(), "commit": commit(), "settings": settings_of(plan)}
    result["machine"], result["versions"] = facts, versions()
    result["runs"], result["failures"] = measure(options, plan)
    figures = report.render(result)
    say(f"done\n\n{figures}\n")
    if options.write:
        LATEST.parent.mkdir(exist_ok=True)
        LATEST.write_text(json.dumps(result, indent=1) + "\n")
        PAGE.write_text(report.insert(PAGE.read_text(), figures))
        say(f"written: {PAGE}, {LATEST}")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
