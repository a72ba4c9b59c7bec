"""A server that is a child process: started, watched, paused, killed and started again."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_POLL_SECONDS = 0.02
_LAST_LINES = 15


class StackError(Exception):
    """A server could not be found, started or ended; the message says which, and why."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def family_of(pid: int) -> list[int]:
    """The process and all its descendants, parents first (a server's workers may be sessions of
    their own, so signals to the group would miss them).
    """
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                # The name, in brackets, may itself hold blanks and brackets.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found


class Server:
    """One server process with its folder, log and port. The methods block.

    Subclasses say the command line and how to see that it answers.
    """

    name = "server"
    start_seconds = 30.0
    stop_seconds = 15.0
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, *, port: int = 0, host: str = "127.0.0.1") -> None:
        """``port`` 0: a free one, kept over restarts."""
        self.folder = folder
        self.host = host
        self.port = port or free_port(host)
        self.process: subprocess.Popen[bytes] | None = None
        self.paused = False

    # --- what subclasses say ---

    def command(self) -> Sequence[str]:
        """The command line. Called at each start."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """What the process finds in its environment."""
        return os.environ

    def prepare(self) -> None:
        """What must be there before the first start (a data folder)."""

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
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None, "start() comes first"  # noqa: S101
        return self.process.pid

    def launch(self) -> None:
        """Start without waiting. Raises :class:`StackError` when there is no such program."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        self.paused = False
        with self.log_path.open("ab") as log:
            try:
                self.process = subprocess.Popen(  # noqa: S603 our own command line
                    list(self.command()),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self.environment()),
                    # Ctrl-C is for us: servers are ended in an order.
                    start_new_session=True,
                )
            except OSError as error:
                raise StackError(f"{self.name} cannot be started: {error}") from None

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it answers. Raises :class:`StackError` when it dies or is too slow."""
        deadline = time.monotonic() + (seconds or self.start_seconds)
        while not self.answers():
            if not self.running:
                raise StackError(self.why_it_ended())
            if time.monotonic() > deadline:
                self.kill()
                raise StackError(f"{self.name} did not answer in time.\n{self.last_words()}")
            time.sleep(_POLL_SECONDS)

    def start(self) -> None:
        """Start and wait until it answers."""
        self.launch()
        self.wait()

    def stop(self) -> None:
        """Ask it to end, wait, and kill it when it does not. Not running: nothing happens."""
        if self.process is None:
            return
        if self.paused:
            self.resume()
        if self.running:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(self.stop_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process.wait()

    def kill(self) -> None:
        """End it at once, with its descendants, as a crash does (`kill -9`)."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.paused = False

    def pause(self) -> None:
        """Freeze it: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        self._signal(signal.SIGCONT)
        self.paused = False

    def restart(self) -> None:
        """Stop and start again on the same port and data."""
        self.stop()
        self.start()

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            for pid in family_of(self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

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
        return f"{self.name} {how}.\n{self.last_words()}"

    def last_words(self) -> str:
        """The end of the log, for people."""
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"    {line}" for line in lines[-_LAST_LINES:])
