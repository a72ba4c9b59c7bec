"""All nodes on one port: ``storm serve --workers N`` as a process."""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from storm_gateway.stack.node import NodeServer, get_status
from storm_gateway.stack.ports import is_free, kept_port, new_port


class WorkersServer(NodeServer):
    """The supervisor with its nodes, which share an address and have one of their own each."""

    start_seconds = 120.0
    # It waits for its nodes by itself, and kills those that do not end.
    after_drain_seconds = 60.0
    hurry_signal = signal.SIGTERM  # the second one makes its nodes hurry

    def __init__(
        self,
        folder: Path,
        *,
        workers: int,
        addr: str,
        name: str = "nodes",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """``addr``: host:port that all share, as ``STORM_ADDR`` takes it (port 0: a free one)."""
        shared, _, port = addr.rpartition(":")
        self.shared_host = shared
        # Listening on all addresses, it is reached here.
        host = shared.strip("[]") if shared.strip("[]") not in ("", "0.0.0.0") else "127.0.0.1"  # noqa: S104
        super().__init__(
            folder,
            name=name,
            settings=settings,
            port=int(port),
            host="::1" if host == "::" else host,
        )
        self.workers = workers
        self._node_port_path = folder / "nodes.ports"
        self._news_path = folder / f"{name}.news"
        self._news_read = 0
        self.node_port = kept_port(self._node_port_path, self.host, workers)

    @property
    def node_addrs(self) -> list[str]:
        """host:port of each node alone."""
        host = self.addr.rpartition(":")[0]
        return [f"{host}:{self.node_port + number}" for number in range(self.workers)]

    @property
    def node_names(self) -> list[str]:
        """As they are called in logs and metrics."""
        return [f"{self.base_name}-{number}" for number in range(1, self.workers + 1)]

    @property
    def base_name(self) -> str:
        """What the nodes' names begin with."""
        return self.settings.get("STORM_NODE_NAME", "node")

    def claim(self) -> None:
        first = not self._claimed
        super().claim()
        ports = range(self.node_port, self.node_port + self.workers)
        if first and not all(is_free(port, self.host) for port in ports):
            self.node_port = new_port(self._node_port_path, self.host, self.workers)

    def prepare(self) -> None:
        self._news_path.unlink(missing_ok=True)
        self._news_read = 0

    def command(self) -> Sequence[str]:
        several = ["--workers", str(self.workers), "--news", str(self._news_path)]
        return [*super().command(), *several]

    def news(self) -> list[str]:
        """Which nodes ended by themselves, or are back, since the last time: a sentence each."""
        try:
            with self._news_path.open("rb") as file:
                file.seek(self._news_read)
                whole, _, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        if not whole:
            return []
        self._news_read += len(whole) + 1
        return whole.decode(errors="replace").split("\n")

    def environment(self) -> Mapping[str, str]:
        return {
            **super().environment(),
            "STORM_ADDR": f"{self.shared_host}:{self.port}",
            "STORM_NODE_ADDR": self.node_addrs[0],
            # One node alone is no supervisor, which would number it.
            "STORM_NODE_NAME": self.base_name if self.workers > 1 else self.node_names[0],
        }

    def answers(self) -> bool:
        ports = [self.port, *range(self.node_port, self.node_port + self.workers)]
        return all(get_status(self.host, port, "/readyz") == 200 for port in ports)
