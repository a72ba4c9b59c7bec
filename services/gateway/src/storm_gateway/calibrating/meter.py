"""What processes have used, from /proc: processor time to the nanosecond, and memory."""

import asyncio
import os
import time
from collections.abc import Awaitable, Mapping
from pathlib import Path

import msgspec

from storm_gateway.stack.processes import family_of

_PROC = Path("/proc")


def can_measure() -> bool:
    """Whether this system tells what a process uses."""
    return (_PROC / "self/smaps_rollup").exists() and (_PROC / "self/stat").exists()


def memory(pid: int, *, own: bool = False) -> int:
    """Proportional set size of a process and its descendants, bytes.

    ``own``: without its share of program files. That share falls when another program that uses the
    same files begins, and would hide what is measured as a difference.
    """
    total = 0
    for each in family_of(pid):
        try:
            text = (_PROC / str(each) / "smaps_rollup").read_text()
        except OSError:
            continue
        found = {line.split()[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
        # Kernels before 5.4 tell only the whole.
        parts = ("Pss_Anon:", "Pss_Shmem:") if own and "Pss_Anon:" in found else ("Pss:",)
        total += sum(found[part] for part in parts) * 1024
    return total


class Use(msgspec.Struct, frozen=True):
    """What was used while something was done."""

    seconds: float
    """Wall clock."""
    cpu: dict[str, float]
    """Processor time by process, seconds."""


class Meter:
    """Processor time of named processes with their descendants."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self.rates: dict[str, float] = dict.fromkeys(pids, 0.0)
        """What each uses a second by itself: taken off all that is measured."""

    async def rest(self, seconds: float) -> dict[str, float]:
        """What each uses a second while nothing is asked of it; :attr:`rates` is not taken off."""
        self.rates = dict.fromkeys(self._pids, 0.0)
        use = await self.during(asyncio.sleep(seconds))
        return {name: spent / use.seconds for name, spent in use.cpu.items()}

    async def during(self, work: Awaitable[object]) -> Use:
        """Do it, and see what it took."""
        before, began = self._read(), time.perf_counter()
        await work
        seconds, after = time.perf_counter() - began, self._read()
        spent = {
            name: sum(used - before[name].get(thread, 0.0) for thread, used in threads.items())
            for name, threads in after.items()
        }
        return Use(
            seconds,
            {name: max(0.0, used - self.rates[name] * seconds) for name, used in spent.items()},
        )

    def _read(self) -> Mapping[str, dict[tuple[int, int], float]]:
        """By thread: those that ended meanwhile are left out."""
        return {name: _threads(pid) for name, pid in self._pids.items()}


def _threads(pid: int) -> dict[tuple[int, int], float]:
    found = {}
    for each in family_of(pid):
        try:
            threads = [int(name) for name in os.listdir(_PROC / str(each) / "task")]
        except OSError:
            continue
        for thread in threads:
            used = _thread_seconds(_PROC / str(each) / "task" / str(thread))
            if used is not None:
                found[each, thread] = used
    return found


def _thread_seconds(path: Path) -> float | None:
    try:
        # The first number is time on a processor, in nanoseconds.
        return int((path / "schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        pass
    try:
        # Kernels without it count in ticks.
        fields = (path / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
