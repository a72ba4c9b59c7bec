"""STORM's own light load generator: very many connections, messages by the clock, loss by seq.

  hold  open all connections and hold them, while messages go to small rooms, rooms and the hall
  hot   bursts into rooms: the highest rate of deliveries that is in time, then that rate for long
  hall  one message to everybody, several times: the first and the last delivery of each
  idle  as many connections as possible, only pinged

Starts NATS, Valkey, PostgreSQL and nodes of its own; or, with --url, loads a STORM that runs
already, whose limits must allow it. Every connection checks that seq rises by one in each of its
channels, and at the end that it has all that the store has. Exit status 1 when something was lost,
came twice or did not hold; 2 when it could not run.
"""

import argparse
import json
import shlex
import signal
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import httpx2
from common.paths import REPORTS, REPOSITORY
from common.progress import say
from common.script import finish, leave_with, make_parser
from loading.machine import long_slices, prepared
from loading.profile import Fault, ProfileError
from swarming import report, scene
from swarming.fleet import SOCKETS_OF_A_PROCESS, Fleet
from swarming.modes import MODES, Sending
from swarming.run import AT_ONCE, Run

from storm_gateway.stack.errors import StackError

TRIALS = REPOSITORY / "build" / "swarm"
_USUAL_OF_A_PROCESS = 15_000
_INTERRUPTED = 130
_CHANNELS = {
    "hold": (scene.SMALL, scene.ROOM, scene.HALL),
    "hot": (scene.SMALL, scene.ROOM, scene.HALL),
    "hall": (scene.SMALL, scene.ROOM, scene.HALL),
    "idle": (scene.ROOM,),
}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("mode", choices=MODES, nargs="+", help="one, or several one after another")
    add("--connections", type=int, default=1_000)
    add("--processes", type=int, help=f"of the swarm; default: one for {_USUAL_OF_A_PROCESS:,}")
    add("--nodes", type=int, default=2, help="of the stack that is started (2)")
    add("--by-node", action="store_true", help="connect to the nodes' own addresses in turn")
    add("--url", action="append", default=[], help="a STORM that runs; once for each node")
    add("--secret-file", type=Path, help="with --url: else STORM_JWT_SECRET is the secret")
    add("--room-size", type=int, default=1_000)
    add("--small-size", type=int, default=10)
    add("--members", action="store_true", help="all are members of their channels before the run")
    add("--open-rate", type=float, default=0, help="connections a second; 0: as fast as it goes")
    add(
        "--again", type=float, metavar="RATE",
        help="once all are there they leave, and come back at this rate, with since; 0: as fast "
        "as it goes",
    )  # fmt: skip
    add("--calm", type=float, default=2, help="seconds in which nobody speaks, before (2)")
    add(
        "--window",
        type=int,
        help=f"at most so many on their way; default: {AT_ONCE} without a rate",
    )
    add("--rate", type=float, help="messages a second: of hold (200), of hall (0.5)")
    add(
        "--mix", default="0.9,0.1,0", help="of hold: shares to small rooms, rooms, hall (0.9,0.1,0)"
    )
    add("--burst", type=int, help="messages that are sent at one moment, by one: 1, of hot 10")
    add("--deliveries", type=float, default=0, help="of hot: this rate, instead of a search")
    add("--p99", type=float, default=1_000, help="of hot: ms above which a rate is too much (1000)")
    add("--step", type=float, default=5, help="of hot: seconds of a step of the search (5)")
    add("--messages", type=int, default=10, help="of hall (10)")
    add("--seconds", type=float, default=30, help="of hold, hot, idle (30)")
    add("--settle", type=float, default=20, help="seconds that stragglers get at the end (20)")
    add("--payload", type=int, default=100, help="characters of a message, 64 to 4000 (100)")
    add("--every", type=float, default=1, help="seconds between two lines (1)")
    add(
        "--fault", action="append", default=[], metavar="WHAT@SECOND[/SECONDS]",
        help="of hold: node_killed, rolling_restart, nats_paused, nats_slow, database_slow",
    )  # fmt: skip
    add("--set", action="append", default=[], metavar="STORM_X=VALUE", help="of our nodes")
    add(
        "--slice", type=float, metavar="MS",
        help="everything is scheduled as batch and runs so long at a time: for full machines",
    )  # fmt: skip
    add("--json", type=Path, help=f"where the figures go; default: {TRIALS.name}/MODE.json")
    add(
        "--report", metavar="NAME",
        help=f"write the report to {REPORTS.name}/NAME.md",
    )  # fmt: skip
    add("--out", type=Path, help="the report's file, instead; default: build/swarm/MODE.md")
    return parser.parse_args(arguments)


def options_of(given: argparse.Namespace) -> scene.Options:
    """Raises ``RuntimeError`` for what makes no sense."""
    for name in ("connections", "nodes", "room_size", "small_size"):
        if getattr(given, name) < 1:
            raise RuntimeError(f"--{name.replace('_', '-')} must be 1 or more")
    if not 64 <= given.payload <= 4_000:
        raise RuntimeError("--payload must be 64 to 4000 characters")
    if given.fault and (given.url or "hold" not in given.mode):
        raise RuntimeError("--fault is for hold, on a stack of our own")
    if given.members and given.url:
        raise RuntimeError("--members is for a stack of our own, not for --url")
    if "idle" in given.mode and len(given.mode) > 1:
        raise RuntimeError("idle has fewer channels than the others: run it alone")
    settings = dict(pair.partition("=")[::2] for pair in given.set)
    if wrong := [name for name in settings if not name.startswith("STORM_")]:
        raise RuntimeError(f"--set {wrong[0]}=… should be a setting STORM_…")
    window = given.window if given.window is not None else 0 if given.open_rate else AT_ONCE
    return scene.Options(
        connections=given.connections,
        processes=given.processes or -(-given.connections // _USUAL_OF_A_PROCESS),
        nodes=given.nodes,
        urls=given.url,
        secret_file=given.secret_file,
        by_node=given.by_node,
        room_size=given.room_size,
        small_size=given.small_size,
        open_rate=given.open_rate,
        window=window,
        payload=given.payload,
        settle_seconds=given.settle,
        every_seconds=given.every,
        faults=[_fault(text) for text in given.fault],
        settings=settings,
        channels=_CHANNELS[given.mode[0]],
        members=given.members,
    )


def _fault(text: str) -> Fault:
    what, _, when = text.partition("@")
    at, _, seconds = when.partition("/")
    try:
        fault = Fault(what, float(at), float(seconds or 0))
        fault.check()
    except (ValueError, ProfileError) as error:
        raise RuntimeError(f"--fault {text} should be like node_killed@10: {error}") from None
    return fault


def sending_of(given: argparse.Namespace, mode: str) -> Sending:
    """Raises ``RuntimeError`` for what makes no sense."""
    try:
        small, room, hall = (float(part) for part in given.mix.split(","))
    except ValueError:
        raise RuntimeError(f"--mix {given.mix} should be three numbers, as 0.9,0.1,0") from None
    rate = given.rate if given.rate is not None else 0.5 if mode == "hall" else 200
    if rate < 0 or (mode == "hall" and rate == 0) or min(small, room, hall) < 0:
        raise RuntimeError("--rate and --mix must be above 0")
    return Sending(
        rate=rate,
        seconds=given.seconds,
        mix=(small, room, hall),
        burst=given.burst or (10 if mode == "hot" else 1),
        deliveries=given.deliveries,
        p99_ms=given.p99,
        step_seconds=given.step,
        messages=given.messages,
        calm_seconds=given.calm,
    )


def run(
    modes: Mapping[str, Sending],
    options: scene.Options,
    again: float | None = None,
    slice_ms: float | None = None,
) -> tuple[Run, list[str]]:
    """One run of these modes in turn; what of the machine was changed for it. ``again``: everybody
    leaves, and comes back at so many a second. ``slice_ms``: how long processes run at a time.
    """
    with ExitStack() as end:
        notes = end.enter_context(prepared(options.connections))
        if slice_ms is not None:
            notes.append(long_slices(slice_ms))
        folder = Path(end.enter_context(tempfile.TemporaryDirectory(prefix="storm-swarm-")))
        server = end.enter_context(scene.server(options, folder))
        plan = folder / "plan"
        scene.write_plan(plan, options, server)
        say(
            f"{', '.join(modes)}: {options.connections:,} connections of {options.processes} "
            f"processes (at most {SOCKETS_OF_A_PROCESS:,} each)"
        )
        fleet = end.enter_context(
            Fleet(
                plan,
                options.connections,
                options.processes,
                server.targets,
                sources=server.is_local,
            )
        )
        made = Run(options, server, fleet, folder)
        made.open()
        if again is not None:
            made.leave()
            made.open("again", again)
        for mode, sending in modes.items():
            MODES[mode](made, sending)
        made.check()
        made.close()
        return made, notes


def main(arguments: list[str]) -> int:
    """Run; returns the exit status."""
    given = parse(arguments)
    options = options_of(given)
    modes = {mode: sending_of(given, mode) for mode in given.mode}
    name = "-".join(modes)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        made, notes = run(modes, options, given.again, given.slice)
    except KeyboardInterrupt:
        say("ended by a signal; nothing is left behind")
        return _INTERRUPTED
    path = given.json or TRIALS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["loadtest/swarm.py", *arguments])
    path.write_text(json.dumps({"command": command, **made.as_json()}) + "\n")
    say(f"wrote {path}")
    say("figures:\n" + report.tables(made))
    trial = given.out or TRIALS / f"{name}.md"
    page = REPORTS / f"{given.report}.md" if given.report else trial
    report.write(page, made, ", ".join(modes), command, notes)
    for fault in made.faults:
        say(f"fault: {fault}")
    return finish(made.faults)


def _interrupt(number: int, frame: FrameType | None) -> Any:
    raise KeyboardInterrupt


if __name__ == "__main__":
    leave_with(main, (OSError, RuntimeError, StackError, httpx2.HTTPError))
