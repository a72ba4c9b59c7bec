"""One run: opened, followed second by second, compared with the store, and written down."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.figures import milliseconds
from common.memory import memory_available
from common.progress import say
from loading.scene import heads
from loading.watch import Sample, Watch

from swarming.fleet import Fleet
from swarming.scene import Options, Server
from swarming.state import State

_STUCK_SECONDS = 60.0
_LOOK_SECONDS = 5.0
"""Between two looks at memory, which cost more than counters."""
_QUIET_SECONDS = 1.0
_PAUSE_SECONDS = 75.0
"""Before those who left come back."""
_LET_GO_SECONDS = 180.0
"""Presence has a grace, channels that nobody listens to are left some seconds later, a node asks
for its free memory half a minute after nobody leaves any more, and two minutes later once more."""
AT_ONCE = 256
"""Connections on their way when they are opened as fast as it goes."""


@dataclass
class Phase:
    """A part of a run, and what was counted in it."""

    name: str
    seconds: float
    before: State
    state: State
    """Without what was counted before."""
    cores: dict[str, float] = field(default_factory=dict)
    """Used on average, by group of processes."""
    more: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        head = {"name": self.name, "seconds": self.seconds, "cores": self.cores}
        return {**head, **self.more, **self.state.as_json()}


class Run:
    """What belongs to one run, once there are a server and a plan."""

    def __init__(self, options: Options, server: Server, fleet: Fleet, folder: Path) -> None:
        self.options = options
        self.server = server
        self.fleet = fleet
        self.folder = folder
        self.began = time.time()
        self.faults: list[str] = []
        self.phases: list[Phase] = []
        self.seconds: list[dict[str, float]] = []
        """One line for each second, for plots."""
        self.returned: float | None = None
        """The share of their growth that the nodes gave back when everybody left."""
        self.free_before = memory_available()
        self.free_open = 0
        self.watch = Watch(self._groups, self.began)
        self._looked = time.monotonic()
        self._told = time.monotonic()
        self._last = State()

    def _groups(self) -> dict[str, list[int]]:
        groups = {"swarm": self.fleet.pids, "driver": [os.getpid()]}
        if (stack := self.server.stack) is not None:
            groups["nodes"] = [node.pid for node in stack.node_processes]
            groups |= {each.name: [each.pid] for each in stack.servers}
        return groups

    # --- phases ---

    def open(self, name: str = "open", rate: float | None = None) -> Phase:
        """Open all connections, until they are there or no more come. ``rate``: a second, instead
        of the one of the command line; 0: as fast as it goes.
        """
        options = self.options
        looked, before = self.look(), self.state()
        if rate is None:
            begun = self.fleet.open(options.open_rate, options.window)
        else:
            begun = self.fleet.open(rate, 0 if rate else options.window or AT_ONCE)
        best, since = 0, time.monotonic()
        while (state := self.tick()) and state["open"] < options.connections:
            if state["open"] > best:
                best, since = state["open"], time.monotonic()
            elif time.monotonic() - since > _STUCK_SECONDS:
                self.faults.append(
                    f"only {state['open']:,} of {options.connections:,} connections opened: "
                    f"{state.why or 'the others do not answer'}"
                )
                break
        ended = state.last_open_ns or time.monotonic_ns()
        took = max((ended - begun) / 1e9, 1e-3)
        self.free_open = memory_available()
        say(f"{state['open']:,} open after {took:.1f} s, {state['open'] / took:,.0f} a second")
        return self._phase(name, took, before, state.since(before), looked)

    def leave(self, seconds: float = _PAUSE_SECONDS) -> None:
        """Everybody leaves at once; what the nodes have let go of after so many seconds."""
        full = self.look().memory.get("nodes", 0)
        self.fleet.ask("close")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.tick(until)
        left = self.look().memory.get("nodes", 0)
        if grown := full - self.watch.samples[0].memory.get("nodes", 0):
            self.returned = (full - left) / grown
            say(f"everybody has left; the nodes gave back {self.returned:.0%} of what they took")

    def follow(self, name: str, seconds: float, begin: Callable[[], Any] | None = None) -> Phase:
        """Let ``begin`` begin something, and watch for so long."""
        looked, segments = self.look(), self.fleet.segments()
        before, begun = self.state(), time.monotonic()
        if begin is not None:
            begin()
        while time.monotonic() < begun + seconds:
            self.tick(begun + seconds)
        # At once: memory takes its time to look at.
        seconds, counted = time.monotonic() - begun, self.state().since(before)
        writes = self.fleet.segments() - segments
        phase = self._phase(name, seconds, before, counted, looked)
        # A connection that was opened anew begins to count its writes anew.
        if writes > 0 and not phase.state["closes"]:
            phase.more["frames_per_write"] = phase.state["frames"] / writes
        return phase

    def settle(self, phase: Phase) -> None:
        """Until all that was sent is answered, everybody is back and nothing comes any more; what
        came after the end of a phase belongs to it.
        """
        until = time.monotonic() + self.options.settle_seconds
        state, quiet = self.state(), time.monotonic()
        while time.monotonic() < until and time.monotonic() - quiet < _QUIET_SECONDS:
            now = self.tick()
            waiting = now["sent"] - now["acked"] - now["refused"]
            missing = self.options.connections - now["open"]
            if waiting > 0 or missing or now["deliveries"] != state["deliveries"]:
                quiet = time.monotonic()
            state = now
        phase.state = self.state().since(phase.before)

    def check(self) -> State:
        """Compare what everybody has with what the store says there is; the end of counting."""
        with self.server.rest() as rest:
            store = heads(rest)
        path = self.folder / "heads"
        path.write_text("".join(f"{channel} {head}\n" for channel, head in store.items()))
        self.fleet.ask(f"check {path}")
        state = self.state()
        self._judge(state)
        return state

    def close(self) -> None:
        """Everybody leaves; what the nodes then keep is looked at."""
        if self.server.stack is not None:
            self.leave(_LET_GO_SECONDS)

    def _phase(
        self, name: str, seconds: float, before: State, counted: State, looked: Sample
    ) -> Phase:
        now = self.look()
        passed = max(now.second - looked.second, 1e-3)
        cores = {
            group: (used - looked.cpu_seconds.get(group, 0.0)) / passed
            for group, used in now.cpu_seconds.items()
        }
        phase = Phase(name, seconds, before, counted, cores)
        self.phases.append(phase)
        return phase

    def _judge(self, state: State) -> None:
        """What must not be, wherever it comes from."""
        for name, text in (
            ("lost", "messages were lost"),
            ("doubled", "messages came twice"),
            ("ahead", "events were delivered that the store does not have"),
            ("strangers", "events came of channels that nobody had asked for"),
            ("unread", "events came that are of no known kind"),
        ):
            if state[name]:
                self.faults.append(f"{state[name]:,} {text}")
        if missing := self.options.connections - state["open"]:
            self.faults.append(f"{missing:,} connections are not open at the end")
        if state["closes"] and not self.options.faults:
            self.faults.append(f"{state['closes']:,} connections were dropped: {state.why}")
        if unanswered := state["sent"] - state["acked"] - state["refused"]:
            self.faults.append(f"{unanswered:,} messages were sent and never answered")
        if state["refused"]:
            self.faults.append(f"{state['refused']:,} messages were refused: {state.why}")
        if state["unsendable"]:
            say(f"{state['unsendable']:,} messages were due while no connection was open")

    # --- second by second ---

    def state(self) -> State:
        return self.fleet.state()

    def look(self) -> Sample:
        """At memory and processors."""
        self._looked = time.monotonic()
        return self.watch.sample()

    def tick(self, until: float = float("inf")) -> State:
        """Wait for the next second, say how it goes."""
        pause = self._told + self.options.every_seconds - time.monotonic()
        time.sleep(max(0.0, min(pause, until - time.monotonic())))
        state, now = self.state(), time.monotonic()
        passed = now - self._told
        if passed < self.options.every_seconds * 0.9:
            return state
        if now - self._looked >= _LOOK_SECONDS:
            self.look()
        if (stack := self.server.stack) is not None and (why := stack.died()):
            raise RuntimeError(why)
        self._tell(state, state.since(self._last), passed)
        self._told, self._last = now, state
        return state

    def _tell(self, state: State, new: State, passed: float) -> None:
        times = {
            name: new.histograms[name].ms(0.95)
            for name in ("connect", "back_after", "ack", "delivery")
        }
        row = {
            "second": time.time() - self.began,
            "open": float(state["open"]),
            "opened": (new["opened"] + new["back"]) / passed,
            "acks": new["acked"] / passed,
            "deliveries": new["deliveries"] / passed,
            "lost": float(state["lost"]),
            **{f"{name}_p95_ms": value for name, value in times.items() if not math.isnan(value)},
        }
        self.seconds.append(row)
        sample = self.watch.samples[-1]
        cores = {**sample.cpu, "swarm": new.cpu_seconds / passed}
        used = ", ".join(f"{group} {share:.2f}" for group, share in cores.items())
        memory = sum(sample.memory.values()) / 2**20
        nodes = f"nodes {sample.memory['nodes'] / 2**20:,.0f} of " if "nodes" in cores else ""
        known = {name: value for name, value in times.items() if not math.isnan(value)}
        p95 = ", ".join(f"{name} {milliseconds(value)}" for name, value in known.items())
        say(
            f"{state['open']:,} open (+{row['opened']:,.0f}/s), {row['acks']:,.0f} acks/s, "
            f"{row['deliveries']:,.0f} deliveries/s, lost {state['lost']:,}, closes "
            f"{state['closes']:,}; p95 ms: {p95 or '-'}; cores: {used}; "
            f"PSS {nodes}{memory:,.0f} MiB"
        )

    def as_json(self) -> dict[str, Any]:
        """All that was found."""
        return {
            "connections": self.options.connections,
            "processes": len(self.fleet.processes),
            "nodes": self.options.nodes if self.server.stack is not None else None,
            "faults": self.faults,
            "phases": [phase.as_json() for phase in self.phases],
            "seconds": self.seconds,
            "samples": [sample.as_json() for sample in self.watch.samples],
            "memory_returned": self.returned,
            "memory_available": {"before": self.free_before, "open": self.free_open},
        }
