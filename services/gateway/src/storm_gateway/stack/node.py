"""A node: one ``storm serve`` as a process of its own."""

import contextlib
import http.client
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from storm_gateway.observability import allocator
from storm_gateway.stack.process import Server

_ANSWER_SECONDS = 3
_DRAIN_SECONDS = 30.0


class NodeServer(Server):
    """One node with a folder and a port of its own.

    Its settings are those given and no others: variables ``STORM_…`` of this process do not reach
    it.
    """

    start_seconds = 60.0
    poll_seconds = 0.05
    after_drain_seconds = 20.0
    """How long it may take to end besides the drain."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "node",
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        """``settings``: variables ``STORM_…``; they may be changed until the next start. Address,
        name and data folder are set here unless they are among them.
        """
        self.name = name
        super().__init__(folder, port=port, host=host)
        self.settings: dict[str, str] = dict(settings or {})

    @property
    def addr(self) -> str:
        """host:port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Of its REST API."""
        return f"http://{self.addr}"

    @property
    def ws_url(self) -> str:
        """Of its WebSocket endpoint."""
        return f"ws://{self.addr}/ws"

    def stop(self) -> None:
        # It may take its time: it sends its clients away spread over the drain.
        drain = float(self.settings.get("STORM_DRAIN_SECONDS", _DRAIN_SECONDS))
        self.stop_seconds = drain + self.after_drain_seconds
        super().stop()

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "storm_gateway", "serve"]

    def environment(self) -> Mapping[str, str]:
        own = self.settings.get("STORM_ALLOCATOR") == "python"
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("STORM_")},
            **allocator.environment("python" if own else "auto", os.environ),
            "STORM_ADDR": self.addr,
            "STORM_NODE_NAME": self.name,
            "STORM_DATA_DIR": str(self.folder / "data"),
            "STORM_LOG_FORMAT": "human",
            **self.settings,
        }

    def answers(self) -> bool:
        return get_status(self.host, self.port, "/readyz") == 200


def get_status(host: str, port: int, path: str) -> int:
    """The status that a GET is answered with; 0: no answer."""
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    with (
        contextlib.suppress(OSError, http.client.HTTPException),
        contextlib.closing(connection),
    ):
        connection.request("GET", path)
        return connection.getresponse().status
    return 0
