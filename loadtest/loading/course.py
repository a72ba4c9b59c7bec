"""The course of a run: stack, channels, k6, progress, the end."""

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.progress import say
from common.rest import Rest
from common.tokens import mint

from loading import members, scene
from loading.audit import Audit
from loading.faults import Faults
from loading.figures import SLOT_SECONDS, Figures
from loading.fleet import Fleet, Part, addresses, divide
from loading.machine import ahead, huge_pages, long_slices, prepared
from loading.profile import Profile, as_json
from loading.progress import Progress
from loading.refusals import Refusals
from loading.result import Result
from loading.slow import Freezer
from loading.watch import Watch
from storm_gateway.stack.processes import family_of
from storm_gateway.stack.stack import Stack

_OPEN = {
    # What bounds a user, or one address, would bound the measurement: all users are one machine's.
    "STORM_AUTH_RATE_LIMIT_ENABLED": "false",
    "STORM_COMMANDS_PER_SECOND": "1000000",
    "STORM_COMMANDS_BURST": "1000000",
    "STORM_LOG_LEVEL": "warning",
}
_SOON_OVER = {"STORM_DRAIN_SECONDS": "1"}
"""Nobody waits for those who are still there at the end."""
_TOKEN_SPARE_SECONDS = 3_600
_BOOT_SECONDS = 1.5
_VU_SECONDS = 0.05
_MIB_A_SECOND = 600
"""At which all k6 together take memory that the kernel has to clear, on a slow machine."""
_LOOK_SECONDS = 0.1
_REFUSALS_SECONDS = 30.0
_ENDING_SECONDS = 45.0


@dataclass(frozen=True)
class Target:
    """Where the load goes."""

    url: str
    secret: str | None
    """With which tokens are signed; None: ``tokens`` has them."""
    tokens: Path | None = None
    stack: Stack | None = None
    """When it is ours."""

    def owner_token(self, name: str) -> str:
        """Of the user that makes the channels."""
        if self.secret is not None:
            return mint(self.secret, name, _TOKEN_SPARE_SECONDS * 24)
        assert self.tokens is not None  # noqa: S101 one of the two
        with self.tokens.open() as lines:
            return lines.readline().strip()


@dataclass(frozen=True)
class Options:
    """Of the command line."""

    k6: str
    share: tuple[int, int] = (1, 1)
    """Which part of the users is ours: k of n."""
    at: float | None = None
    """Moment of the first connect, by the machine's clock; None: as soon as possible."""
    scene: str = "load"
    local_ips: str = ""
    skip_one: bool = False
    ahead: bool = False
    """Run ahead of what else the machine does."""
    slice_ms: float | None = None
    """How long processes run at a time on a full machine; None: as the system has it."""
    every_seconds: float = 5.0
    """How often progress is told."""


def run(profile: Profile, options: Options, target: Target | None) -> Result:
    """One run. ``target`` None: a stack of our own, which ends with it. Raises ``StackError``,
    ``OSError``, ``RuntimeError`` and HTTP errors when it cannot be done.
    """
    with ExitStack() as end:
        notes = end.enter_context(prepared(profile.connections // options.share[1]))
        if options.slice_ms is not None:
            notes.append(long_slices(options.slice_ms))
        folder = Path(end.enter_context(tempfile.TemporaryDirectory(prefix="storm-load-")))
        faults = None
        if target is None:
            target, faults = end.enter_context(own_stack(profile, folder))
        if options.ahead:
            stack = target.stack
            roots = [each.pid for each in [*stack.servers, *stack.node_processes]] if stack else []
            families = (pid for root in roots for pid in family_of(root))
            notes.append(end.enter_context(ahead([os.getpid(), *families])))
        with Rest(target.url, target.owner_token(f"{options.scene}-owner")) as rest:
            made = scene.prepare(rest, profile, options.scene, make=options.share[0] == 1)
            if profile.members:
                assert target.stack is not None  # noqa: S101 looked at with the command line
                notes.append("before it: everybody made a user and a member of three channels")
                people = (
                    members.Person(f"{options.scene}-{user}", made.of(user, profile.small_size))
                    for user in range(profile.connections)
                )
                members.add(target.stack.postgres.url, people)
            channels = folder / "channels.json"
            channels.write_text(json.dumps(asdict(made)))
            return _Run(profile, options, target, folder, notes).run(channels, faults, rest)


@contextmanager
def own_stack(profile: Profile, folder: Path) -> Iterator[tuple[Target, Faults]]:
    """Servers and nodes of our own, as ``storm up`` has them."""
    restarts = any(fault.what == "rolling_restart" for fault in profile.faults)
    # A restart is measured as it is: it sends people away over the whole time of a drain.
    settings = _OPEN | ({} if restarts else _SOON_OVER)
    settings |= {name: str(value) for name, value in profile.settings.items()}
    stack = Stack(folder / "up", nodes=profile.nodes, settings=settings, addr="127.0.0.1:0")
    assert stack.workers is not None  # noqa: S101 they share an address
    say(f"starting NATS, Valkey, PostgreSQL and {profile.nodes} nodes")
    try:
        stack.start_servers()
        with ExitStack() as proxies:
            faults = Faults(stack, profile.faults, proxies)
            stack.start_nodes()
            say("they answer")
            try:
                yield Target(stack.workers.url, stack.secret, stack=stack), faults
            finally:
                say("ending the stack")
                faults.stop()
                stack.stop()
    finally:
        stack.stop()


class _Run:
    """What belongs to one run, once there is a server with channels."""

    def __init__(
        self, profile: Profile, options: Options, target: Target, folder: Path, notes: list[str]
    ) -> None:
        self.profile = profile
        self.options = options
        self.target = target
        self.folder = folder
        self.notes = notes
        self.parts = self._parts()
        size = profile.sockets_per_vu
        self.vus = {
            slow: sum(-(-part.users // size) for part in self.parts if part.slow == slow)
            for slow in (False, True)
        }
        # Each process and each VU takes a moment to be there.
        needed = _BOOT_SECONDS * (1 + len(self.parts)) + sum(self.vus.values()) * _VU_SECONDS
        ahead = profile.memory_ahead
        self.fleet = Fleet(options.k6, folder, self._hear, len(self.parts), memory_ahead=ahead)
        if ahead:
            needed += sum(map(self.fleet.memory_mib, range(len(self.parts)))) / _MIB_A_SECOND
        self.began = options.at if options.at is not None else time.time() + needed
        self.figures = {slow: Figures(self.began * 1000) for slow in (False, True)}
        workers = target.stack.workers if target.stack is not None else None
        self.refusals = Refusals(workers.node_addrs if workers is not None else [])

    def _parts(self) -> list[Part]:
        profile = self.profile
        number, of = self.options.share
        step = profile.small_size
        steps = -(-profile.connections // step)
        first, after = (
            min(profile.connections, steps * n // of * step) for n in (number - 1, number)
        )
        slow = profile.slow.share if profile.behaviour == "slow_readers" else 0.0
        users = after - first
        return divide(first, users, step, at_least=profile.processes, slow=round(users * slow))

    def _hear(self, process: int, line: dict[str, Any]) -> None:
        slow = self.fleet.processes[process].part.slow
        self.figures[slow].hear(process, line, self.vus[slow])

    def run(self, channels: Path, faults: Faults | None, rest: Rest) -> Result:
        profile, options = self.profile, self.options
        users = sum(part.users for part in self.parts)
        say(
            f"{users:,} users, k6 processes: {len(self.parts)}; {profile.behaviour}, "
            f"{profile.ramp_seconds:g} s of ramp, {profile.hold_seconds:g} s of hold"
        )
        failures: list[str] = []
        wrong: list[str] = []
        freezer = Freezer(profile)
        audit: Audit | None = None
        taking = ExitStack()
        try:
            plan = self._plan(channels)
            if profile.memory_ahead:
                if told := taking.enter_context(huge_pages()):
                    self.notes.append(told)
                until = threading.Timer(max(0.0, self.began - time.time()), taking.close)
                taking.callback(until.cancel)
                until.start()
            for number, part in enumerate(self.parts):
                ips = options.local_ips or ("" if not self._is_local() else addresses(number))
                self.fleet.start(part, plan, self.target.secret, ips)
            hold_begins = self.began + profile.ramp_seconds + profile.calm_seconds
            if faults is not None:
                faults.start(hold_begins, self.began)
            freezer.start([each for each in self.fleet.processes if each.part.slow], hold_begins)
            audit = self._audit(hold_begins)
            watch = Watch(lambda: self._groups(audit), self.began)
            failures += self._follow(watch, audit)
            self.refusals.look()
            if not failures:
                self.fleet.drain()
                if audit is not None and (words := audit.wait()) is not None:
                    wrong.append(words)
        finally:
            if audit is not None:
                audit.stop()
            freezer.stop()
            self.fleet.stop()
            taking.close()
            if faults is not None:
                faults.stop()
        heads: dict[int, int] = {}
        if not failures:
            say("asking the store for the head of each channel")
            try:
                heads = scene.heads(rest)
            except RuntimeError as error:
                failures.append(str(error))
        # Of the channels of these users only.
        known = {channel for figures in self.figures.values() for channel in figures.tails}
        return Result(
            profile=profile,
            figures=self.figures[False],
            slow=self.figures[True],
            heads={channel: head for channel, head in heads.items() if channel in known},
            vus=sum(self.vus.values()),
            samples=[sample.as_json() for sample in watch.samples],
            refused=self.refusals.rows(),
            silences=self.figures[False].silences,
            windows=[asdict(window) for window in faults.windows] if faults is not None else [],
            summaries=self.fleet.summaries(),
            notes=self.notes,
            audit=audit.verdict if audit is not None else [],
            faults=(failures or self.fleet.failed) + wrong,
            share=f"{options.share[0]}/{options.share[1]}",
            processes=len(self.parts),
        )

    def _audit(self, hold_begins: float) -> Audit | None:
        """From the ramp to the end of the hold, where the profile wants it."""
        stack = self.target.stack
        if not self.profile.audit_messages_per_second:
            return None
        assert stack is not None  # noqa: S101 looked at with the command line
        assert stack.workers is not None  # noqa: S101 they share an address
        assert self.target.secret is not None  # noqa: S101 it is ours
        urls = [f"http://{addr}" for addr in stack.workers.node_addrs]
        seconds = hold_begins + self.profile.hold_seconds - time.time()
        rate = self.profile.audit_messages_per_second
        return Audit(urls, self.target.secret, seconds, rate)

    def _is_local(self) -> bool:
        return (urlsplit(self.target.url).hostname or "").startswith("127.")

    def _plan(self, channels: Path) -> Mapping[str, Any]:
        """What all k6 processes are told; nothing in it is secret."""
        profile = self.profile
        described = as_json(profile)
        names = (
            "behaviour", "messages_per_second", "mix", "hall_every_seconds", "payload_bytes",
            "rooms", "small_size", "members", "hot_share", "sockets_per_vu", "delivery_sample",
            "spikes", "storms", "thresholds", "ramp_falls",
        )  # fmt: skip
        times = ("ramp", "calm", "hold", "settle", "patience")
        return {
            **{name: described.get(name, getattr(profile, name)) for name in names},
            **{f"{name}_ms": described[f"{name}_seconds"] * 1000 for name in times},
            "thresholds": {k: v for k, v in described["thresholds"].items() if v is not None},
            "total": profile.connections,
            "run": f"r{int(self.began * 1000):x}",
            "scene": self.options.scene,
            "ws_url": "ws" + self.target.url.removeprefix("http") + "/ws",
            "began_ms": round(self.began * 1000),
            "tick_ms": SLOT_SECONDS * 1000,
            "token_seconds": int(profile.lasts + profile.settle_seconds) + _TOKEN_SPARE_SECONDS,
            "channels": str(channels),
            "tokens": str(self.target.tokens.resolve()) if self.target.tokens else None,
            "skip_one": self.options.skip_one,
        }

    def _groups(self, audit: Audit | None) -> dict[str, list[int]]:
        groups = {"driver": [os.getpid()]}
        if audit is not None:
            groups["audit"] = [audit.pid]
        running = [each for each in self.fleet.processes if each.running.poll() is None]
        groups["k6"] = [each.pid for each in running]
        if (stack := self.target.stack) is not None:
            groups["nodes"] = [node.pid for node in stack.node_processes]
            groups |= {server.name: [server.pid] for server in stack.servers}
        return groups

    def _follow(self, watch: Watch, audit: Audit | None) -> list[str]:
        """Tell how it goes until all k6 have ended. Gives what went wrong, in words."""
        hold_ends = self.began + self.profile.lasts
        limit = hold_ends + self.profile.settle_seconds + _ENDING_SECONDS
        progress = Progress(self.profile, self.figures[False])
        next_look = time.time() + self.options.every_seconds
        next_refusals = time.time() + _REFUSALS_SECONDS
        while self.fleet.running:
            time.sleep(_LOOK_SECONDS)
            if failed := self.fleet.failed:
                return [f"broken off, because {failed[0]}"]
            stack = self.target.stack
            if stack is not None and (why := stack.died()):
                return [f"broken off: {why}"]
            if audit is not None and audit.ended and time.time() < hold_ends:
                return [f"broken off: {audit.wait() or 'storm audit ended before its time'}"]
            if time.time() > limit:
                return ["k6 did not end in time and was ended"]
            if time.time() >= next_look:
                next_look += self.options.every_seconds
                say(progress.line(watch.sample()))
            if time.time() >= next_refusals:
                next_refusals += _REFUSALS_SECONDS
                self.refusals.look()
        watch.sample()
        return []
