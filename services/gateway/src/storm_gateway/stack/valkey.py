"""The Valkey server (or Redis)."""

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path

from storm_gateway.stack.kept import write_private
from storm_gateway.stack.process import Server
from storm_gateway.stack.programs import valkey_server


class ValkeyServer(Server):
    """One Valkey without persistence: a restart is empty, and the nodes fill it again."""

    name = "valkey"

    def __init__(
        self, folder: Path, *, password: str = "", port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        super().__init__(folder, port=port, host=host)
        self.password = password

    @property
    def url(self) -> str:
        """As ``STORM_REDIS_URL`` takes it."""
        who = f":{self.password}@" if self.password else ""
        return f"redis://{who}{self.host}:{self.port}/0"

    @property
    def public_url(self) -> str:
        """The same without the password, for people."""
        return f"redis://{self.host}:{self.port}/0"

    def prepare(self) -> None:
        lines = [
            f"bind {self.host}",
            f"port {self.port}",
            'save ""',
            "appendonly no",
            f'dir "{self.folder.resolve()}"',
        ]
        if self.password:
            lines.append(f"requirepass {self.password}")
        write_private(self.folder / "valkey.conf", "\n".join(lines) + "\n")

    def command(self) -> Sequence[str]:
        return [valkey_server(), str(self.folder / "valkey.conf")]

    def answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.host, self.port), 1) as probe,
        ):
            # With a password set, an error is an answer, too.
            probe.sendall(b"PING\r\n")
            return probe.recv(5) in (b"+PONG", b"-NOAU")
        return False
