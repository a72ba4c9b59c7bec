"""Processes of this machine: who descends from whom, and whether a pid is still the same one."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

_PROC = Path("/proc")


def family_of(pid: int) -> list[int]:
    """The process and all its descendants, parents first (a server's workers may be sessions of
    their own, so signals to the group would miss them).
    """
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found


def signal_family(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and all its descendants, also to those being made meanwhile."""
    reached: set[int] = set()
    while True:
        missing = [each for each in family_of(pid) if each not in reached]
        if not missing:
            return
        for each in missing:
            reached.add(each)
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)


def kill_family(pid: int) -> None:
    """End a process and all its descendants at once.

    They are frozen first: a parent could make more, and once it is gone its children are nobody's.
    """
    signal_family(pid, signal.SIGSTOP)
    for each in family_of(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def identity_of(pid: int) -> str:
    """What tells a process from another one that gets the same pid later; empty: there is none."""
    if _has_proc():
        try:
            # Field 22, start in clock ticks since boot; the name in brackets may hold anything.
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"
    state, _, start = _ps("-o", "stat=,lstart=", "-p", str(pid)).strip().partition(" ")
    return "" if state.startswith("Z") else start.strip()


def command_of(pid: int) -> str:
    """The command line of a process; empty when there is none."""
    if _has_proc():
        try:
            raw = (_PROC / str(pid) / "cmdline").read_bytes()
        except OSError:
            return ""
        return raw.replace(b"\0", b" ").decode(errors="replace").strip()
    return _ps("-ww", "-o", "command=", "-p", str(pid)).strip()


def _parents() -> list[tuple[int, int]]:
    """(pid, parent) of every process."""
    found = []
    if _has_proc():
        for entry in _PROC.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError, ValueError):
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    found.append((int(entry.name), parent))
        return found
    for line in _ps("-axo", "pid=,ppid=").splitlines():
        pid, above = line.split()
        found.append((int(pid), int(above)))
    return found


def _has_proc() -> bool:
    # macOS has none.
    return (_PROC / "self" / "stat").exists()


def _ps(*arguments: str) -> str:
    ran = subprocess.run(  # noqa: S603 our own command line
        ["ps", *arguments],  # noqa: S607 where it is differs from system to system
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    return ran.stdout
