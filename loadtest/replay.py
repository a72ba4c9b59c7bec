"""Real history imported, then a part of it said again live, while others listen.

FILE holds JSON lines {"channel", "time", "user", "text"}. It is imported with `storm import`, twice
(the second time must store nothing). Then some of its messages are sent by WebSocket clients, each
by a connection authenticated as its author, while listeners and a `storm tail` follow. Checked:
every listener has every message once and in order; the history by REST, unread counts and `storm
tail` agree. Exit status 1 when anything differs.
"""

import argparse
from pathlib import Path

import uvloop
from common.node import make_node
from common.progress import say
from common.script import add_report, finish, leave_with, make_parser
from common.sockets import RefusedError
from replaying import report
from replaying.lines import read_lines
from replaying.live import replay


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--messages", type=int, default=2_000, help="to replay; default: 2000")
    parser.add_argument(
        "--part", choices=("first", "last"), default="first", help="of the file; default: first"
    )
    parser.add_argument("--clients", type=int, default=200, help="that send; default: 200")
    parser.add_argument("--listeners", type=int, default=50, help="default: 50")
    parser.add_argument("--rate", type=float, default=150, help="messages a second; default: 150")
    parser.add_argument(
        "--url",
        help="a gateway that runs already on this machine; its settings in STORM_JWT_SECRET and "
        "STORM_DATA_DIR (for storm import)",
    )
    parser.add_argument(
        "--about", default="", help="what the file is and its licence, for the report"
    )
    add_report(parser, "replay.md")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run; returns the exit status."""
    options = parse(arguments)
    try:
        lines = read_lines(options.file)
        if len(lines) < options.messages:
            raise ValueError(f"{options.file} has only {len(lines):,} messages")  # noqa: TRY301
    except (OSError, ValueError) as error:
        say(f"cannot replay: {error}")
        return 2
    with make_node(options.url) as node:
        outcome = uvloop.run(replay(node, options, lines))
        if node.said():
            say(f"the gateway said:\n{node.said()}")
    say("figures:\n" + report.table(outcome))
    if options.report:
        report.write(outcome, options)
    return finish(outcome.faults)


if __name__ == "__main__":
    leave_with(main, (OSError, RefusedError, RuntimeError, TimeoutError, LookupError))
