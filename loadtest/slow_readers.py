"""1,000 connections, 10 % of them stop reading: who suffers, what it costs, what is lost.

Runs without (A) and with (B) slow readers take turns: A B A B A B. Exit status 1 when the p99 of
the others more than doubles, the gateway's memory grows by more than the bound of the outboxes, a
slow reader is not closed with 4001, or anybody misses an event or gets one twice.
"""

import argparse
import resource

import uvloop
from common.figures import mebibytes, percentile
from common.node import make_node
from common.progress import say
from common.script import add_report, finish, leave_with, make_parser
from common.sockets import RefusedError
from slow_reading import report
from slow_reading.conditions import OUTBOX_BYTES, SHARE
from slow_reading.result import Result, faults_of
from slow_reading.run import Run


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--connections", type=int, default=1_000, help="default: 1000")
    parser.add_argument("--rate", type=float, default=24, help="messages a second; default: 24")
    parser.add_argument("--payload", type=int, default=3_900, help="characters; default: 3900")
    parser.add_argument(
        "--seconds", type=float, default=40, help="longest wait for the closes; default: 40"
    )
    parser.add_argument("--runs", type=int, default=3, help="of each kind; default: 3")
    parser.add_argument(
        "--url",
        help="a gateway that runs already (its secret in STORM_JWT_SECRET): without memory figures",
    )
    add_report(parser, "slow-readers.md")
    return parser.parse_args(arguments)


async def measure(options: argparse.Namespace, slow: bool) -> Result:
    """One run on a gateway of its own."""
    settings = {"STORM_OUTBOX_CLOSE_BYTES": str(OUTBOX_BYTES)}
    with make_node(options.url, settings) as node:
        result = await Run(node, options, slow).run()
        if node.said():
            say(f"the gateway said:\n{node.said()}")
    return result


def main(arguments: list[str]) -> int:
    """Run; returns the exit status."""
    options = parse(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    results: list[Result] = []
    for number in range(1, options.runs + 1):
        for slow in (False, True):
            kind = "B, 10 % do not read" if slow else "A, all read"
            say(f"run {number} of {options.runs}, {kind}: up to {options.seconds + 20:.0f} s")
            result = uvloop.run(measure(options, slow))
            say(
                f"  others p50 {percentile(result.during, 0.5):.1f} ms, "
                f"p99 {percentile(result.during, 0.99):.1f} ms; "
                f"PSS +{mebibytes(result.pss_growth)} MiB; {result.closed} closed, "
                f"{result.resumed} resumed, {result.lost} lost"
            )
            results.append(result)
    faults = faults_of(results, round(options.connections * SHARE), options.url is None)
    say("figures:\n" + report.tables(results))
    if options.report:
        report.write(results, options, faults)
    for fault in faults:
        say(f"FAULT {fault}")
    return finish(faults)


if __name__ == "__main__":
    leave_with(main, (OSError, RefusedError, RuntimeError, TimeoutError))
