"""Starts a process on one processor and ends exactly that process, whatever happens."""

import ctypes
import itertools
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS = 60
STOP_SECONDS = 15
PRIORITY = -15
_FIRST_PORT = 20_000
_APART = 101
"""Ports between those of two processes that began one after the other."""
_PR_SET_PDEATHSIG = 1


def pin(cpu: int) -> Callable[[], None]:
    """What a child does before it runs, when it was given a session of its own.

    It stays on one processor, ahead of whatever else runs there where the system allows it, and
    ends when this process does. Both ends of every measurement get the same.
    """
    libc = ctypes.CDLL(None)

    def settle() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, {cpu})
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        # Sessions share a processor evenly, whatever the priority of their processes is.
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(PRIORITY))

    return settle


def free_port() -> int:
    """A port that nobody listens on, outside the range that connecting sockets draw from.

    Each process begins to look elsewhere: of two that look at the same moment, before either's
    server listens, both would take the first.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(_FIRST_PORT, low)
    first = os.getpid() * _APART % max(1, len(ports))
    for port in itertools.chain(ports[first:], ports[:first]):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: subprocess.Popen[str]) -> None:
    """Ask the process to end; kill it if it does not."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running(
    command: Sequence[str],
    *,
    cpu: int,
    log: Path,
    environment: Mapping[str, str],
    folder: Path,
) -> Iterator[subprocess.Popen[str]]:
    """A server process, bound to one processor, its output in a log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 the command of a known server
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, **environment},
            preexec_fn=pin(cpu),
            start_new_session=True,
        )
        try:
            yield process
        finally:
            stop(process)


def wait_until_ready(process: subprocess.Popen[str], port: int, path: str | None) -> None:
    """Wait until the port is open or, with ``path``, until it answers 200."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} at its start")
        if _answers(port, path):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server was not ready within {START_SECONDS} seconds")


def _answers(port: int, path: str | None) -> bool:
    try:
        if path is None:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
