"""``make bench-cluster``: what several nodes with NATS, Valkey and PostgreSQL do on this machine.

Prints the figures; a full run also writes them into ``docs/benchmarks-cluster.md`` and
``benchmarks/results/cluster.json``. The servers are real ones, started here.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from typing import Any

from cluster import acks, latency, readiness, report, revocation
from cluster.parts import go_ahead
from harness import prepare
from harness.machine import commit, machine, now
from harness.paths import HERE, REPOSITORY
from harness.progress import say
from harness.session import alone

RESULTS = HERE / "results" / "cluster.json"
PAGE = REPOSITORY / "docs" / "benchmarks-cluster.md"
PARTS = ("latency", "acks", "revocation", "readiness")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3, help="default: 3; medians are reported")
    parser.add_argument("--seconds", type=float, default=8, help="of each load; default: 8")
    parser.add_argument("--removals", type=int, default=1000, help="default: 1000")
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help=f"of: {', '.join(PARTS)}"
    )
    parser.add_argument(
        "--keep", action="store_true", help="take what is not measured from the last results"
    )
    options = parser.parse_args(arguments)
    options.parts = [part.strip() for part in options.only.split(",")]
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.write = options.keep or set(options.parts) == set(PARTS)
    return options


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    program = prepare.load_client()
    go_ahead()

    def both() -> dict[str, Any]:
        return {
            "grouped": acks.measure(program, options.seconds),
            "single": acks.measure(program, options.seconds, batch=1),
        }

    jobs: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {
        "latency": (options.runs, lambda: latency.measure(options.seconds)),
        "acks": (options.runs, both),
        # A thousand removals are a sample of their own.
        "revocation": (1, lambda: revocation.measure(options.removals)),
        "readiness": (options.runs, readiness.measure),
    }
    runs: dict[str, list[Any]] = {}
    if options.keep and RESULTS.exists():
        runs = json.loads(RESULTS.read_text())["runs"]
    for part in options.parts:
        count, job = jobs[part]
        runs[part] = []
        for number in range(1, count + 1):
            say(f"{part}, run {number} of {count}")
            runs[part].append(job())
    result = {"date": now(), "commit": commit(), "machine": machine(), "runs": runs}
    figures = report.render(result)
    say(f"done\n\n{figures}\n")
    if options.write:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
        PAGE.write_text(report.insert(PAGE.read_text(), figures))
        say(f"written: {PAGE}, {RESULTS}")
    return 0


def main(arguments: list[str]) -> int:
    """One run of the benchmark, alone on this machine."""
    options = parse(arguments)
    # Leave by the exception's way, so that no server outlives this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with alone():
        return run(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
