"""A server that is a child process: started, watched, paused, killed and started again."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.ports import is_free, kept_port, new_port
from storm_gateway.stack.processes import (
    family_of,
    identity_of,
    kill_family,
    signal_family,
)

_POLL_SECONDS = 0.02
_LAST_LINES = 15
_LAST_BYTES = 64 * 1024
_LOG_BYTES = 4 * 1024 * 1024


class Server:
    """One server process with its folder, log and port. The methods block.

    Subclasses say the command line and how to see that it answers. The folder keeps the port, so
    that it is the same at the next start, and which process runs, so that one that was left
    behind by a killed owner is ended before the next is started.
    """

    name = "server"
    start_seconds = 30.0
    stop_seconds = 15.0
    stop_signal = signal.SIGTERM
    hurry_signal = signal.SIGKILL
    poll_seconds = _POLL_SECONDS

    def __init__(self, folder: Path, *, port: int = 0, host: str = "127.0.0.1") -> None:
        """``port`` 0: the one of the last time if it is still free, else any free one."""
        self.folder = folder
        self.host = host
        self.chosen = bool(port)
        self.port = port or kept_port(self._port_path, host)
        self.inside: Sequence[str] = ()
        """A command in front of its own, which puts it into another network namespace."""
        self.process: subprocess.Popen[bytes] | None = None
        self.paused = False
        self.ended_by_us = False
        self._claimed = False
        self._log_from = 0

    # --- what subclasses say ---

    def command(self) -> Sequence[str]:
        """The command line. Called at each start."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """What the process finds in its environment."""
        return os.environ

    def prepare(self) -> None:
        """What must be there before each start (a data folder)."""

    def answers(self) -> bool:
        """Whether it can be used now."""
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1):
            return True
        return False

    # --- life ---

    @property
    def log_path(self) -> Path:
        """Where the process writes what it has to say."""
        return self.folder / f"{self.name}.log"

    @property
    def running(self) -> bool:
        """Whether the process lives (paused ones do)."""
        return self.process is not None and self.process.poll() is None

    @property
    def died(self) -> bool:
        """Whether the process ended without having been stopped or killed by us."""
        return self.process is not None and not self.running and not self.ended_by_us

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None, "start() comes first"  # noqa: S101
        return self.process.pid

    def claim(self) -> None:
        """End what an earlier owner of the folder left running, and take another port when
        somebody has ours. Done before the first start; later starts keep the port. Raises
        :class:`StackError` when the port is not ours to choose.
        """
        if self._claimed:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._end_leftover()
        # In another network its port says nothing about ours.
        if not self.inside and not is_free(self.port, self.host):
            if self.chosen:
                raise StackError(
                    f"{self.host}:{self.port}, where {self.name} shall listen, is in use by "
                    "another program"
                )
            self.port = new_port(self._port_path, self.host)
        self._claimed = True

    def launch(self) -> None:
        """Start without waiting. Raises :class:`StackError` when there is no such program."""
        self.claim()
        self.prepare()
        self.paused = False
        self.ended_by_us = False
        with self._open_log() as log:
            self._log_from = log.tell()
            try:
                self.process = subprocess.Popen(  # noqa: S603 our own command line
                    [*self.inside, *self.command()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self.environment()),
                    # Ctrl-C is for us: servers are ended in an order.
                    start_new_session=True,
                )
            except OSError as error:
                raise StackError(f"{self.name} cannot be started: {error}") from None
        self._pid_path.write_text(f"{self.pid} {identity_of(self.pid)}\n")

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it answers. Raises :class:`StackError` when it dies or is too slow."""
        seconds = seconds or self.start_seconds
        deadline = time.monotonic() + seconds
        while not self.answers():
            if not self.running:
                raise StackError(self.why_it_ended())
            if time.monotonic() > deadline:
                self.kill()
                raise StackError(f"{self.name} did not answer in {seconds:g} s.{self.last_words()}")
            time.sleep(self.poll_seconds)

    def start(self) -> None:
        """Start and wait until it answers."""
        self.launch()
        self.wait()

    def stop(self) -> None:
        """Ask it to end, wait, and kill it when it does not. Not running: nothing happens."""
        if self.process is None:
            return
        if self.running:
            self.ended_by_us = True
            if self.paused:
                self.resume()
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(self.stop_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._gone()

    def hurry(self) -> None:
        """Let a :meth:`stop` that waits in another thread end at once."""
        if self.process is not None and self.running:
            self.ended_by_us = True
            self.process.send_signal(self.hurry_signal)

    def kill(self) -> None:
        """End it at once, with its descendants, as a crash does (`kill -9`)."""
        if self.process is not None:
            if self.running:
                self.ended_by_us = True
                kill_family(self.pid)
            self.process.wait()
            self._gone()

    def pause(self) -> None:
        """Freeze it: connections stay, nothing is answered."""
        if self.running:
            self.paused = True
            signal_family(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        if self.running:
            signal_family(self.pid, signal.SIGCONT)
        self.paused = False

    def restart(self) -> None:
        """Stop and start again on the same port and data."""
        self.stop()
        self.start()

    # --- what to tell people ---

    def why_it_ended(self) -> str:
        """Which process ended how, with the end of its log."""
        code = self.process.returncode if self.process is not None else None
        if code is None:
            how = "is not running"
        elif code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended with status {code}"
        return f"{self.name} {how}.{self.last_words()}"

    def last_words(self) -> str:
        """What the process logged last since its start, for people, on lines of their own."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(self._log_from, log.seek(0, os.SEEK_END) - _LAST_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "".join(f"\n    {line}" for line in lines[-_LAST_LINES:])

    # --- files ---

    @property
    def _port_path(self) -> Path:
        return self.folder / f"{self.name}.port"

    @property
    def _pid_path(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def _open_log(self) -> BinaryIO:
        with contextlib.suppress(OSError):
            if self.process is None and self.log_path.stat().st_size > _LOG_BYTES:
                self.log_path.replace(self.log_path.with_suffix(".log.1"))
        return self.log_path.open("ab")

    def _gone(self) -> None:
        self.paused = False
        self._pid_path.unlink(missing_ok=True)

    def _end_leftover(self) -> None:
        try:
            pid, _, identity = self._pid_path.read_text().strip().partition(" ")
            left = int(pid)
        except (OSError, ValueError):
            return
        if identity and identity_of(left) == identity:
            # It may be frozen; and nothing durable is lost: that is what these servers are for.
            family = family_of(left)
            kill_family(left)
            deadline = time.monotonic() + self.stop_seconds
            # The port as well: its threads may hold it for a moment when it counts as dead.
            while any(map(identity_of, family)) or not is_free(self.port, self.host):
                if time.monotonic() > deadline:
                    break
                time.sleep(_POLL_SECONDS)
        self._pid_path.unlink(missing_ok=True)
