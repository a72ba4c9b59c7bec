"""The PostgreSQL server."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.kept import kept_secret, write_private
from storm_gateway.stack.process import Server
from storm_gateway.stack.processes import command_of
from storm_gateway.stack.programs import postgres

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""PostgreSQL's protocol, message SSLRequest: answered by one byte before any login."""


class PostgresServer(Server):
    """One PostgreSQL with full durability (``fsync``, ``synchronous_commit``)."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait for clients to leave by themselves
    hurry_signal = signal.SIGQUIT  # "immediate": the next start recovers

    def __init__(
        self,
        folder: Path,
        *,
        password: str = "",
        port: int = 0,
        host: str = "127.0.0.1",
        settings: dict[str, str] | None = None,
    ) -> None:
        """``settings``: of ``postgresql.conf``, for example ``{"max_connections": "300"}``."""
        super().__init__(folder, port=port, host=host)
        self.password = password or kept_secret(folder / "password")
        self.settings = {"max_connections": "200", **(settings or {})}

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def url_of(self, database: str) -> str:
        """As ``STORM_DATABASE_URL`` takes it, for one database of this server."""
        return f"postgresql://storm:{self.password}@{self.host}:{self.port}/{database}"

    @property
    def url(self) -> str:
        """As ``STORM_DATABASE_URL`` takes it."""
        return self.url_of("storm")

    @property
    def public_url(self) -> str:
        """The same without the password, for people."""
        return f"postgresql://storm@{self.host}:{self.port}/storm"

    def prepare(self) -> None:
        if self.data.exists():
            self._forget_dead_owner()
            return
        # Under another name until it is whole: a first start that was interrupted begins anew.
        draft = self.folder / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        secret = self.folder / "password"
        write_private(secret, self.password + "\n")
        self._run(
            "initdb",
            f"--pgdata={draft}",
            "--username=storm",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            # Order by code point, the same as SQLite's and on every machine.
            "--locale=C",
        )
        # Alone with its files, the server needs no password and no port.
        self._run(
            "postgres", "--single", "-D", str(draft), "postgres", said="CREATE DATABASE storm"
        )
        draft.rename(self.data)

    def _run(self, program: str, *arguments: str, said: str = "") -> None:
        ran = subprocess.run(  # noqa: S603 our own command line
            [*_not_as_root(), postgres(program), *arguments],
            input=said,
            capture_output=True,
            text=True,
            check=False,
            # Ctrl-C is for us.
            start_new_session=True,
        )
        if ran.returncode:
            hint = " (root needs user namespaces for it: take another user)" if _is_root() else ""
            raise StackError(
                f"postgres: its data folder cannot be made{hint}.\n{ran.stderr.strip()}"
            )

    def _forget_dead_owner(self) -> None:
        """After a crash of the machine its pid file names a pid that anybody may have now, and
        PostgreSQL would not start.
        """
        path = self.data / "postmaster.pid"
        try:
            pid = int(path.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if "postgres" not in command_of(pid):
            path.unlink(missing_ok=True)

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            # Their paths may be at most 107 bytes long, and nobody uses them here.
            "unix_socket_directories": "",
            "fsync": "on",
            "synchronous_commit": "on",
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*_not_as_root(), postgres("postgres"), "-D", str(self.data), *options]

    def answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), 1) as probe:
                probe.settimeout(1)
                # A login that is refused while it starts up or recovers would count as an answer
                # to this question: the state file of the server knows better.
                probe.sendall(_SSL_REQUEST)
                if probe.recv(1) not in (b"N", b"S"):
                    return False
        except OSError:
            return False
        try:
            # Its last line says "ready" once it is (PostgreSQL: miscadmin.h, postmaster.pid).
            state = (self.data / "postmaster.pid").read_text().splitlines()[7].strip()
        except (OSError, IndexError):
            return False
        return state == "ready"


def _not_as_root() -> list[str]:
    """PostgreSQL refuses to run as root. In a user namespace it is somebody else, and may still
    use folders that only root can enter.
    """
    if not _is_root():
        return []
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    if unshare is None:
        raise StackError("postgres does not run as root: start it as another user")
    return [unshare, "--map-user=1000", "--map-group=1000"]


def _is_root() -> bool:
    return os.name == "posix" and os.geteuid() == 0
