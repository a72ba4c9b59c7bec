"""What this machine must allow for many connections; said, set where possible, and put back."""

import ctypes
import os
import platform
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.progress import say

_SYSCTL = Path("/proc/sys")
MANY = 10_000
"""Connections below which the usual values do."""
_AT_LEAST = {"net/core/netdev_max_backlog": 20_000, "net/core/somaxconn": 8_192}
_AHEAD = -10
_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}
"""The number of ``sched_setattr``, which Python does not have; ``sched_getattr`` is the next."""
_ATTRIBUTES = 56
_PORTS = "net/ipv4/ip_local_port_range"
_PORTS_WANTED = "10000 65000"
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_ALWAYS = "always"
_PORTS_NEEDED = 20_000
"""Of one address to one server; each process has addresses of its own."""


@contextmanager
def prepared(connections: int, root: Path = _SYSCTL) -> Iterator[list[str]]:
    """Raise the limits for as long as it lasts. Gives what was changed, in words."""
    before: dict[Path, str] = {}
    told: list[str] = []
    try:
        if connections >= MANY:
            for name, wanted in _AT_LEAST.items():
                now = _read(root / name)
                if now and int(now) < wanted:
                    _set(root / name, now, str(wanted), before, told)
            now = _read(root / _PORTS)
            if now and int(now.split()[1]) - int(now.split()[0]) < _PORTS_NEEDED:
                _set(root / _PORTS, now, _PORTS_WANTED, before, told)
        yield told
    finally:
        for path, value in before.items():
            with suppress(OSError):
                path.write_text(value)
        if before:
            say("the machine's settings are as they were")


@contextmanager
def huge_pages(setting: Path = _HUGE_PAGES) -> Iterator[str]:
    """Who takes memory while it lasts gets pages of 2 MiB. A process with 3 GiB, of which it needs
    a little here and there, otherwise waits for the tables of its pages. Gives what was changed, in
    words; nothing where they are given anyway, or cannot be had.
    """
    found = re.search(r"\[(\w+)\]", _read(setting))
    if found is None or found[1] == _ALWAYS:
        yield ""
        return
    told = f"transparent huge pages from {found[1]} to {_ALWAYS}"
    try:
        setting.write_text(_ALWAYS)
    except OSError:
        yield f"{told} would be better while k6 takes its memory (as root)"
        return
    try:
        yield f"{told}, while k6 takes its memory"
    finally:
        with suppress(OSError):
            setting.write_text(found[1])


@contextmanager
def ahead(pids: Iterable[int]) -> Iterator[str]:
    """Let processes run ahead of whatever else this machine does, where that may be: the scheduler
    shares the processors between sessions first, and only then looks at the priority of processes.
    Gives what was changed, in words.
    """
    before: dict[Path, str] = {}
    for pid in pids:
        path = Path(f"/proc/{pid}/autogroup")
        with suppress(OSError, IndexError):
            before.setdefault(path, path.read_text().split()[-1])
            path.write_text(str(_AHEAD))
    try:
        yield f"the sessions of {len(before)} processes had nice {_AHEAD}, until the end"
    finally:
        # This session may be a shell's, which goes on.
        for path, nice in before.items():
            with suppress(OSError):
                path.write_text(nice)


def long_slices(milliseconds: float) -> str:
    """This process and all that it starts from now on are scheduled as batch, and run so long at a
    time where others want the processor (Linux 6.12; before that the kernel's own time stands).
    Gives what was changed, in words; raises ``OSError`` where it cannot be.
    """
    if not 0.1 <= milliseconds <= 100:
        raise OSError(f"--slice {milliseconds:g}: the system takes 0.1 to 100 ms")
    number = _SET_ATTRIBUTES.get(platform.machine())
    if platform.system() != "Linux" or number is None:
        raise OSError(f"slices of processor time cannot be set on {platform.platform()}")
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, 2 of clamps
    attributes = struct.pack(
        "=IIQiIQQQII", _ATTRIBUTES, os.SCHED_BATCH, 0, nice, 0, int(milliseconds * 1e6), 0, 0, 0, 0
    )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, 0, attributes, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"slices of {milliseconds:g} ms: {os.strerror(error)}")
    if slice_of_this() != milliseconds:
        return "everything scheduled as batch, until the end; this kernel has slices of its own"
    return f"everything scheduled as batch, with slices of {milliseconds:g} ms, until the end"


def slice_of_this() -> float:
    """Milliseconds for which this thread runs at a time; 0: the kernel does not tell, or has no
    such thing.
    """
    number = _SET_ATTRIBUTES.get(platform.machine())
    if platform.system() != "Linux" or number is None:
        return 0.0
    attributes = ctypes.create_string_buffer(_ATTRIBUTES)
    if ctypes.CDLL(None).syscall(number + 1, 0, attributes, _ATTRIBUTES, 0) != 0:
        return 0.0
    return float(struct.unpack("=IIQiIQQQII", attributes.raw)[5]) / 1e6


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _set(path: Path, now: str, wanted: str, before: dict[Path, str], told: list[str]) -> None:
    name = ".".join(path.parts[-3:])
    change = f"{name} from {' '.join(now.split())} to {wanted}"
    try:
        path.write_text(wanted)
    except OSError:
        told.append(f"{change} would be better (as root: sysctl -w {name}='{wanted}')")
    else:
        before[path] = now
        told.append(f"{change}, until the end")
    say(f"this machine: {told[-1]}")
