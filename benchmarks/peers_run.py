"""``make bench-peers``: STORM beside all its peers, on the same load, in one run.

Installs the peers (Go's only where Go is), then measures one server after the other, over and over:
upgrades, memory and deliveries first, then latencies at half the best rate of the weakest peer.
Prints the figures; a full run also writes them into ``docs/benchmarks-peers.md`` and
``benchmarks/results/peers.json``.
"""

import argparse
import json
import shutil
import signal
import sys
from functools import partial
from typing import Any

from harness import peers_report, prepare
from harness.latency import measure_latency
from harness.machine import commit, machine, now, versions
from harness.pace import shared_rate
from harness.paths import PEERS_LATEST, PEERS_PAGE, WORK
from harness.progress import say
from harness.report import insert
from harness.room import FRAMES_PER_WRITE, Plan, measure_room
from harness.servers import SERVERS
from harness.session import (
    SPARE_FILES,
    alone,
    attempt,
    fresh_folder,
    new_plan,
    raise_file_limit,
    settings_of,
)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--runs", type=int, default=3, help="default: 3; medians are reported")
    parser.add_argument("--seconds", type=float, default=8, help="of each load; default: 8")
    parser.add_argument(
        "--deliveries",
        type=float,
        help="deliveries/s of the open-loop load; default: half the weakest peer's best rate",
    )
    parser.add_argument(
        "--quick", action="store_true", help="1,000 connections, 1 run, 3 s: does it work at all?"
    )
    parser.add_argument(
        "--only",
        default=",".join(SERVERS),
        metavar="SERVERS",
        help=f"comma-separated, of: {', '.join(SERVERS)}",
    )
    parser.add_argument(
        "--write",
        action=argparse.BooleanOptionalAction,
        help="write page and results; default: in a full run of all servers",
    )
    parser.add_argument("--note", help="a sentence about this run, for the page")
    options = parser.parse_args(arguments)
    full = options.only == parser.get_default("only") and not options.quick
    if options.write is None:
        options.write = full and options.connections == parser.get_default("connections")
    if options.quick:
        options.connections, options.runs, options.seconds = 1_000, 1, 3.0
    chosen = [key.strip() for key in options.only.split(",")]
    if unknown := set(chosen) - set(SERVERS):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    options.servers = [key for key in SERVERS if key in chosen]
    return options


def install(keys: list[str]) -> tuple[list[str], dict[str, str]]:
    """The servers that can be measured here, and why others cannot."""
    ready: list[str] = []
    skipped: dict[str, str] = {}
    for key in keys:
        try:
            SERVERS[key].install()
        except prepare.UnavailableError as error:
            skipped[key] = str(error)
            say(f"SKIPPED {key}: {error}")
        else:
            ready.append(key)
    return ready, skipped


def _room_line(room: dict[str, Any]) -> str:
    rates = (f"{room[f'deliver_{frames}']['per_second']:,.0f}" for frames in FRAMES_PER_WRITE)
    return (
        f"{room['upgrade']['per_second']:,.0f} upgrades/s, {room['idle_bytes']:,.0f} bytes each,"
        f" {' / '.join(rates)} deliveries/s"
    )


def _latency_line(found: dict[str, Any]) -> str:
    paced, single = found["paced"], found["single"]
    return (
        f"p99 {paced['ms_p99']:,.1f} ms; one message: first {single['first_ms_p50']:,.1f},"
        f" last {single['last_ms_p50']:,.1f} ms"
    )


def measure(
    keys: list[str], count: int, plan: Plan, deliveries: float | None
) -> tuple[list[dict[str, Any]], list[str], float | None]:
    """All runs, what failed in them, and the deliveries/s of the open-loop load."""
    runs: list[dict[str, Any]] = []
    failures: list[str] = []
    for number in range(1, count + 1):
        run: dict[str, Any] = {"room": {}, "latency": {}}
        runs.append(run)
        for key in keys:
            what = f"run {number} of {count}, {key}"
            job = partial(measure_room, SERVERS[key], plan, fresh_folder(key))
            if room := attempt(failures, what, job):
                run["room"][key] = room
                say(f"{what}: {_room_line(room)}")
        # One rate for every server and every run, so that the latencies compare.
        deliveries = deliveries or shared_rate(run)
        if not deliveries:
            continue
        for key in keys:
            what = f"run {number} of {count}, {key}, latency at {deliveries:,.0f} deliveries/s"
            job = partial(measure_latency, SERVERS[key], plan, fresh_folder(key), deliveries)
            if found := attempt(failures, what, job):
                run["latency"][key] = found
                say(f"{what}: {_latency_line(found)}")
    shutil.rmtree(WORK, ignore_errors=True)
    return runs, failures, deliveries


def run(options: argparse.Namespace) -> int:
    """One whole benchmark."""
    facts = machine()
    keys, skipped = install(options.servers)
    idle_seconds = 2 if options.quick else 5
    plan = new_plan(options.connections, options.seconds, idle_seconds, options.connections)
    result: dict[str, Any] = {"date": now(), "commit": commit(), "settings": settings_of(plan)}
    result["machine"], result["versions"] = facts, versions(all_peers=True)
    result["note"], result["skipped"] = options.note, skipped
    result["runs"], result["failures"], result["settings"]["paced_deliveries"] = measure(
        keys, options.runs, plan, options.deliveries
    )
    figures = peers_report.render(result)
    say(f"done\n\n{figures}\n")
    if options.write:
        PEERS_LATEST.parent.mkdir(exist_ok=True)
        PEERS_LATEST.write_text(json.dumps(result, indent=1) + "\n")
        PEERS_PAGE.write_text(insert(PEERS_PAGE.read_text(), figures, peers_report.BEGIN))
        say(f"written: {PEERS_PAGE}, {PEERS_LATEST}")
    return 1 if result["failures"] else 0


def main(arguments: list[str]) -> int:
    """Measure, print, write."""
    options = parse(arguments)
    # Leave by the exception's way, so that no server outlives this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_file_limit(options.connections + SPARE_FILES)
    with alone():
        return run(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
