"""The processes of the swarm: started, asked, ended together."""

import ipaddress
import json
import select
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from swarming.build import program
from swarming.state import State

SOCKETS_OF_A_PROCESS = 19_000
"""Of 20,000 files that a process may have on many machines."""
_FIRST_SOURCE = ipaddress.IPv4Address("127.0.0.2")
_SOURCES = 8
"""Addresses of a process, as the C program counts them."""
_ANSWER_SECONDS = 60.0
_STOP_SECONDS = 10.0
_AHEAD_NS = 50_000_000
"""So that all processes have the command when its first moment comes."""


@dataclass
class Process:
    """One of them, with the users from ``first`` on."""

    first: int
    users: int
    running: subprocess.Popen[str]

    def say(self, command: str) -> None:
        assert self.running.stdin is not None  # noqa: S101 a pipe
        with suppress(BrokenPipeError):
            self.running.stdin.write(command + "\n")
            self.running.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Raises ``RuntimeError``."""
        out = self.running.stdout
        assert out is not None  # noqa: S101 a pipe
        if not select.select([out], [], [], _ANSWER_SECONDS)[0]:
            raise RuntimeError(f"a process of the swarm ({self.running.pid}) does not answer")
        line = out.readline()
        if not line:
            raise RuntimeError(f"a process of the swarm ended: status {self.running.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found


class Fleet:
    """All of them, as one."""

    def __init__(
        self,
        plan: Path,
        users: int,
        processes: int,
        targets: Sequence[str],
        *,
        sources: bool = True,
        first: int = 0,
    ) -> None:
        """``targets``: address:port. ``sources``: each process connects from addresses of its
        own, which loopback has plenty of. ``first``: the line of the plan that is their first.
        """
        if -(-users // processes) > SOCKETS_OF_A_PROCESS:
            raise RuntimeError(
                f"{users} connections need {-(-users // SOCKETS_OF_A_PROCESS)} processes"
            )
        self.users = users
        self.processes: list[Process] = []
        made = program()
        bounds = [users * n // processes for n in range(processes + 1)]
        try:
            for number, (begin, end) in enumerate(pairwise(bounds)):
                source = str(_FIRST_SOURCE + number * _SOURCES) if sources else "-"
                running = subprocess.Popen(  # noqa: S603 our own program
                    [str(made), str(plan), str(first + begin), str(end - begin), source,
                     ",".join(targets)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    process_group=0,  # Ctrl-C is for us
                )  # fmt: skip
                self.processes.append(Process(begin, end - begin, running))
        except BaseException:
            self.stop()
            raise

    @property
    def pids(self) -> list[int]:
        return [process.running.pid for process in self.processes]

    def ask(self, command: str) -> list[dict[str, Any]]:
        """Tell all, then hear all. Raises ``RuntimeError``, also when one refuses."""
        for process in self.processes:
            process.say(command)
        answers = [process.answer() for process in self.processes]
        for answer in answers:
            if "error" in answer:
                raise RuntimeError(f"the swarm refuses {command!r}: {answer['error']}")
        return answers

    def open(self, rate: float, window: int) -> int:
        """Begin to open all connections: ``rate`` a second (0: as fast as it goes), with at most
        ``window`` on their way (0: any number). Returns the moment of the first, ns.
        """
        start = time.monotonic_ns() + _AHEAD_NS
        share = -(-window // len(self.processes)) if window else 0
        for process in self.processes:
            process.say(f"open {rate * process.users / self.users:.6f} {share} {start}")
        self._heard("open")
        return start

    def send(
        self,
        rate: float,
        seconds: float,
        weights: Sequence[float],
        *,
        burst: int = 1,
        size: int = 100,
        senders: int | None = None,
    ) -> int:
        """Begin to send ``rate`` messages a second, of all processes, ``burst`` at each moment,
        by ``weights`` to the senders' first, second, … channel. ``senders``: so many processes
        send (all). Returns the moment of the first, ns.
        """
        start = time.monotonic_ns() + _AHEAD_NS
        chosen = self.processes[:senders]
        users = sum(process.users for process in chosen)
        interval = 1e9 * burst / rate if rate else 0
        before = 0
        for process in chosen:
            share = process.users / users
            # The processes take turns, instead of all sending at the same moment.
            at = start + round(interval * before / users)
            before += process.users
            text = " ".join(f"{weight:g}" for weight in weights)
            process.say(f"send {rate * share:.6f} {seconds} {burst} {size} {at} {text}")
        self._heard("send", chosen)
        return start

    def state(self) -> State:
        """All that they have counted, added up."""
        found = State()
        for answer in self.ask("state"):
            found.add(answer)
        return found

    def segments(self) -> int:
        """Writes of the server that have arrived, on loopback."""
        return sum(answer["segments"] for answer in self.ask("segments"))

    def tracked(self) -> dict[int, tuple[float, float, int]]:
        """Of each message that was followed, by its moment: first and last delivery in ms, and
        how many there were.
        """
        found: dict[int, tuple[float, float, int]] = {}
        for answer in self.ask("tracked"):
            for moment, first, last, count in answer["tracked"]:
                before = found.get(moment, (first / 1000, last / 1000, 0))
                found[moment] = (
                    min(before[0], first / 1000),
                    max(before[1], last / 1000),
                    before[2] + count,
                )
        return found

    def _heard(self, command: str, processes: Sequence[Process] | None = None) -> None:
        for process in self.processes if processes is None else processes:
            if "error" in process.answer():
                raise RuntimeError(f"the swarm refuses to {command}")

    def stop(self) -> None:
        """End them, with all their connections. May be called again."""
        for process in self.processes:
            process.say("quit")
        until = time.monotonic() + _STOP_SECONDS
        for process in self.processes:
            try:
                process.running.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.running.kill()
                process.running.wait()
            for pipe in (process.running.stdin, process.running.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
