"""A gateway of our own, as a process; or one that runs already."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx2

from common.paths import PYTHON
from common.tokens import mint

READY_SECONDS = 30.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.02


class Node:
    """``storm serve`` on a free port of 127.0.0.1, with a data folder that goes with it."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """``settings``: environment variables (``STORM_…``) beside those that are needed."""
        self.folder = Path(tempfile.mkdtemp(prefix="storm-load-"))
        self.secret = secrets.token_hex(32)
        self.host = "127.0.0.1"
        self.port = free_port()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("STORM_")}
        self.environment = {
            **inherited,
            "STORM_ADDR": f"{self.host}:{self.port}",
            "STORM_DATA_DIR": str(self.folder / "data"),
            "STORM_JWT_SECRET": self.secret,
            "STORM_LOG_FORMAT": "json",
            "STORM_LOG_LEVEL": "warning",
            "STORM_DRAIN_SECONDS": "1",
            **(settings or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running process; 0 when the node is not ours."""
        return self.process.pid if self.process is not None else 0

    @property
    def log(self) -> Path:
        """What the process said."""
        return self.folder / "log"

    def token(self, user_id: str) -> str:
        return mint(self.secret, user_id)

    def start(self) -> float:
        """Start it and wait until it is ready; returns the seconds that took."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 our own program
                [PYTHON, "-m", "storm_gateway", "serve"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C is for the test, which then ends the node
            )
        self.wait_ready()
        return time.monotonic() - began

    def wait_ready(self) -> None:
        """Return once ``/readyz`` says 200. Raises ``RuntimeError``."""
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            if self.process is not None and self.process.poll() is not None:
                break
            try:
                if httpx2.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(_POLL_SECONDS)
        raise RuntimeError(f"{self.url} does not get ready. It said:\n{self.said()}")

    def command(self, *arguments: str) -> list[str]:
        """The command line of ``storm`` with these arguments; run it with ``environment``."""
        return [str(PYTHON), "-m", "storm_gateway", *arguments]

    def said(self) -> str:
        """The end of what the process wrote: empty when all went well."""
        return self.log.read_text(errors="replace")[-4_000:] if self.log.exists() else ""

    def kill(self) -> None:
        """``kill -9``."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """End it in peace; with force when it does not end."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def __enter__(self) -> Self:
        # Told to end, this program ends like after an error: the node is not left behind.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _leave)
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class RunningNode(Node):
    """One that somebody else started and ends."""

    def __init__(self, url: str, secret: str) -> None:
        # Where its data are, for commands that need them.
        given = {k: v for k, v in os.environ.items() if k.startswith("STORM_")}
        super().__init__({**given, "STORM_JWT_SECRET": secret})
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None or parts.port is None:
            raise ValueError("say --url http://host:port")
        self.host, self.port, self.secret = parts.hostname, parts.port, secret

    def start(self) -> float:
        self.wait_ready()
        return 0.0


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def make_node(url: str | None, settings: Mapping[str, str] | None = None) -> Node:
    """A node of our own, or with ``url`` the one that runs there: its secret is taken from
    ``STORM_JWT_SECRET``. Raises ``ValueError`` when that is missing.
    """
    if url is None:
        return Node(settings)
    secret = os.environ.get("STORM_JWT_SECRET", "")
    if not secret:
        raise ValueError("--url needs the gateway's secret in STORM_JWT_SECRET, to make tokens")
    return RunningNode(url, secret)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
