# ruff: noqa: S603, S607 what is started here is ours or the system's
"""What the tests of the stack share."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

WAIT_SECONDS = 60


def until(holds: Callable[[], object], what: str) -> None:
    """Wait for a condition, within bounds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def ask(port: int, said: bytes) -> bytes:
    """Send bytes to a server of this machine and give what it answers until it is silent."""
    heard = b""
    with closing(socket.create_connection(("127.0.0.1", port), 5)) as connection:
        connection.sendall(said)
        connection.settimeout(0.5)
        while True:
            try:
                piece = connection.recv(4096)
            except TimeoutError:
                return heard
            if not piece:
                return heard
            heard += piece


def lives(pid: int) -> bool:
    """Whether a process is there and not only waits to be counted as dead."""
    ran = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(ran.stdout.strip()) and not ran.stdout.startswith("Z")


def shown() -> str:
    """What every user of the machine can see of processes: their command lines."""
    ran = subprocess.run(["ps", "-axww", "-o", "args="], capture_output=True, text=True, check=True)
    return ran.stdout


def living_under(folder: Path) -> list[int]:
    """Processes that write their log into a folder (servers change their command lines)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "fd/1").readlink().is_relative_to(folder):
                found.append(int(entry.name))
    return found
