"""The NATS server."""

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path

from storm_gateway.stack.kept import write_private
from storm_gateway.stack.process import Server
from storm_gateway.stack.programs import nats_server

_MAX_PAYLOAD = 4 * 1024 * 1024


class NatsServer(Server):
    """One NATS server, or one of a cluster (``routes``). No JetStream: the store is the truth."""

    name = "nats"

    def __init__(
        self,
        folder: Path,
        *,
        password: str = "",
        port: int = 0,
        host: str = "127.0.0.1",
        max_pending: int = 64 * 1024 * 1024,
        cluster_port: int = 0,
        routes: Sequence[str] = (),
    ) -> None:
        """``max_pending``: bytes that wait for a slow client before the server drops it.
        ``cluster_port``: where the other servers of a cluster find this one; 0: it is alone.
        ``routes``: host:port of their cluster ports.
        """
        super().__init__(folder, port=port, host=host)
        self.cluster_port = cluster_port
        self.routes = list(routes)
        self.password = password
        self.max_pending = max_pending

    @property
    def url(self) -> str:
        """As ``STORM_NATS_URL`` takes it."""
        who = f"storm:{self.password}@" if self.password else ""
        return f"nats://{who}{self.host}:{self.port}"

    @property
    def public_url(self) -> str:
        """The same without the password, for people."""
        return f"nats://storm@{self.host}:{self.port}"

    def prepare(self) -> None:
        # A file, since command lines are seen by every user of the machine.
        lines = [
            f"listen: {self.host}:{self.port}",
            f"max_pending: {self.max_pending}",
            # One event may be as large as the body of POST /publish (1 MiB), escaped in JSON.
            f"max_payload: {min(_MAX_PAYLOAD, self.max_pending)}",
            'write_deadline: "10s"',
        ]
        if self.password:
            lines.append(f'authorization {{ user: "storm", password: "{self.password}" }}')
        if self.cluster_port:
            who = f"storm:{self.password}@" if self.password else ""
            routes = ", ".join(f"nats-route://{who}{route}" for route in self.routes)
            lines += [
                f"server_name: {self.host}-{self.port}",
                "cluster {",
                "  name: storm",
                f"  listen: {self.host}:{self.cluster_port}",
                f'  authorization {{ user: "storm", password: "{self.password}" }}'
                if self.password
                else "",
                f"  routes: [{routes}]",
                "}",
            ]
        write_private(self.folder / "nats.conf", "\n".join(lines) + "\n")

    def command(self) -> Sequence[str]:
        return [nats_server(), "--config", str(self.folder / "nats.conf")]

    def answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.host, self.port), 1) as probe,
        ):
            # The first thing that a NATS server says.
            return probe.recv(5) == b"INFO "
        return False
