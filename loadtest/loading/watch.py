"""Memory and processor time of groups of processes, while the run goes on."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from common.memory import cpu_seconds, kernel_memory, pss, tcp_memory

from storm_gateway.stack.processes import family_of

Groups = Mapping[str, list[int]]


@dataclass(frozen=True)
class Sample:
    """At one moment."""

    second: float
    """Of the run: 0 is the first connect."""
    memory: dict[str, int]
    """PSS in bytes, by group."""
    cpu: dict[str, float]
    """Cores used since the sample before, by group."""
    cpu_seconds: dict[str, float]
    """Since the first sample, by group."""
    tcp_bytes: int
    """Of the kernel, for all sockets of this machine, both ends."""
    kernel_bytes: int
    """The same, and all objects of the kernel."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Watch:
    """``groups``: the first processes of each group now; their descendants count with them."""

    def __init__(self, groups: Callable[[], Groups], began: float) -> None:
        self._groups = groups
        self._began = began
        self._used: dict[int, float] = {}
        self._sum: dict[str, float] = {}
        self._at = time.time()
        self.samples: list[Sample] = []
        self.sample()

    def sample(self) -> Sample:
        """Look now."""
        now = time.time()
        passed = max(now - self._at, 1e-3)
        self._at = now
        memory: dict[str, int] = {}
        cores: dict[str, float] = {}
        for group, roots in self._groups().items():
            pids = [pid for root in roots for pid in _family(root)]
            memory[group] = sum(pss(pid) for pid in pids)
            used = 0.0
            for pid in pids:
                with suppress(OSError, IndexError):
                    seconds = cpu_seconds(pid)
                    # One that is new has used all of it since the sample before.
                    used += max(0.0, seconds - self._used.get(pid, 0.0))
                    self._used[pid] = seconds
            first = not self.samples
            cores[group] = 0.0 if first else used / passed
            self._sum[group] = 0.0 if first else self._sum.get(group, 0.0) + used
        made = Sample(
            now - self._began, memory, cores, dict(self._sum), tcp_memory(), kernel_memory()
        )
        self.samples.append(made)
        return made


def _family(pid: int) -> list[int]:
    return [pid] if pid == os.getpid() else family_of(pid)
