"""Real servers and nodes on this machine, as one thing: started and ended together."""

import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.kept import FolderLock, kept_secret, write_private
from storm_gateway.stack.nats import NatsServer
from storm_gateway.stack.node import NodeServer
from storm_gateway.stack.postgres import PostgresServer
from storm_gateway.stack.process import Server
from storm_gateway.stack.programs import require_all
from storm_gateway.stack.valkey import ValkeyServer
from storm_gateway.stack.workers import WorkersServer

_CONNECTIONS_OF_A_NODE = 4
_CONNECTIONS_OF_OTHERS = 40
"""Of programs beside the nodes: people who look, ``storm user``, an audit that reads the end."""
_CONNECTIONS = 200


class Stack:
    """NATS, Valkey, PostgreSQL and nodes that use them, with everything under one folder.

    The methods block, and may be called from any thread. The parts may be changed until
    :meth:`start`; ``stack.nodes[0].settings["STORM_NATS_URL"] = proxy.url`` wins over what all
    nodes get.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 2,
        settings: Mapping[str, str] | None = None,
        addr: str | None = None,
        embedded: bool = False,
    ) -> None:
        """``settings``: variables ``STORM_…`` of all nodes. ``addr``: the nodes share this address
        (then :attr:`workers` has them, and ``nodes`` is empty); None: each has one of its own.
        ``embedded``: nodes on the embedded default, without servers, that know nothing of each
        other. Nothing runs yet. Raises :class:`StackError` when there are no free ports.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.more_settings = dict(settings or {})
        self.embedded = embedded
        self.nats = NatsServer(folder / "nats", password=self._password("nats"))
        self.valkey = ValkeyServer(folder / "valkey", password=self._password("valkey"))
        self.postgres = PostgresServer(
            folder / "postgres", settings={"max_connections": str(self._connections(nodes))}
        )
        self.workers: WorkersServer | None = None
        self.nodes: list[NodeServer] = []
        if addr is not None:
            self.workers = WorkersServer(folder / "nodes", workers=nodes, addr=addr)
        else:
            names = [f"node-{number}" for number in range(1, nodes + 1)]
            self.nodes = [NodeServer(folder / name, name=name) for name in names]
        self.waiting: dict[str, float] = {}
        """What is being started, by name, and since when (the monotonic clock)."""
        self._lock = FolderLock(folder)
        self._ending = threading.Event()
        self._starting = threading.RLock()

    # --- what to know ---

    @property
    def secret(self) -> str:
        """With which tokens are signed: the same in all nodes, kept in the folder."""
        return self.more_settings.get("STORM_JWT_SECRET") or kept_secret(self.folder / "secret")

    @property
    def settings(self) -> dict[str, str]:
        """What every node gets: ``STORM_…`` variables, with passwords."""
        servers = {
            "STORM_NATS_URL": self.nats.url,
            "STORM_REDIS_URL": self.valkey.url,
            "STORM_DATABASE_URL": self.postgres.url,
        }
        return {
            "STORM_JWT_SECRET": self.secret,
            **({} if self.embedded else servers),
            **self.more_settings,
        }

    @property
    def servers(self) -> list[Server]:
        """Those that nodes need."""
        return [] if self.embedded else [self.nats, self.valkey, self.postgres]

    @property
    def node_processes(self) -> list[NodeServer]:
        """The nodes, or the one process that has them all."""
        return [self.workers] if self.workers is not None else self.nodes

    @property
    def environment_path(self) -> Path:
        """A file for shells, which only its owner may read: ``. PATH`` lets the commands of
        ``storm`` use this stack. Written by :meth:`start`.
        """
        return self.folder / "env"

    def died(self) -> str | None:
        """Which process ended although nobody asked it to, and why; None: all is well."""
        for server in [*self.servers, *self.node_processes]:
            if server.died:
                return server.why_it_ended()
        return None

    # --- life ---

    def start(
        self,
        tell: Callable[[Server, float], None] | None = None,
        unless: threading.Event | None = None,
    ) -> None:
        """Start the servers, then the nodes; each kind at once. ``tell`` hears, from any thread,
        which one answers after how many seconds. ``unless``: set before a :meth:`stop` that may
        come before this start has begun; it then does not begin. Raises :class:`StackError`; then
        nothing runs.
        """
        try:
            self.start_servers(tell, unless)
            self.start_nodes(tell)
        except BaseException:
            self.stop()
            raise

    def start_servers(
        self,
        tell: Callable[[Server, float], None] | None = None,
        unless: threading.Event | None = None,
    ) -> None:
        """Start NATS, Valkey and PostgreSQL. Raises :class:`StackError`."""
        if not self.embedded:
            require_all()
        self._lock.take()
        self._ending.clear()
        if unless is not None and unless.is_set():
            raise StackError("the end has begun before the start")
        # All, before any is started: a port that a server shall have may be a leftover node's.
        for server in [*self.node_processes, *self.servers]:
            server.claim()
        self._start(self.servers, tell)

    def start_nodes(self, tell: Callable[[Server, float], None] | None = None) -> None:
        """Start the nodes. Raises :class:`StackError`."""
        for node in self.node_processes:
            node.settings = {**self.settings, **node.settings}
        self._write_environment()
        try:
            self._start(self.node_processes, tell)
        except StackError as error:
            # A node that lacks a server ends, too: the server is what to look at.
            why = next((server.why_it_ended() for server in self.servers if server.died), None)
            raise StackError(why or str(error)) from None

    def stop(self) -> None:
        """End the nodes (they drain), then the servers. May be called again, and at any time."""
        self._ending.set()
        self._stop_all()
        # One that was being launched meanwhile ends as well; then nothing is being launched.
        with self._starting:
            self._stop_all()
        self._lock.release()

    def hurry(self) -> None:
        """Let a :meth:`stop` that waits in another thread end at once. Messages stay durable."""
        for server in [*self.node_processes, *self.servers]:
            server.hurry()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- inside ---

    def _start(
        self, servers: Sequence[Server], tell: Callable[[Server, float], None] | None
    ) -> None:
        def one(server: Server) -> None:
            if self._ending.is_set():
                raise StackError(f"{server.name} is not started: the end has begun")
            begin = self.waiting[server.name] = time.monotonic()
            try:
                server.launch()
                if self._ending.is_set():
                    server.kill()
                server.wait()
            finally:
                del self.waiting[server.name]
            if tell is not None:
                tell(server, time.monotonic() - begin)

        with self._starting:
            _each(one, servers)

    def _stop_all(self) -> None:
        _each(lambda server: server.stop(), self.node_processes)
        _each(lambda server: server.stop(), self.servers)

    def _password(self, name: str) -> str:
        return kept_secret(self.folder / name / "password")

    def _connections(self, nodes: int) -> int:
        one = int(self.more_settings.get("STORM_DATABASE_CONNECTIONS", _CONNECTIONS_OF_A_NODE)) + 1
        # Twice: during a rolling restart a node runs beside the one that it replaces.
        return max(_CONNECTIONS, 2 * nodes * one + _CONNECTIONS_OF_OTHERS)

    def _write_environment(self) -> None:
        settings = dict(self.settings)
        if self.workers is not None:
            settings["STORM_ADDR"] = self.workers.addr
        elif self.nodes:
            settings["STORM_ADDR"] = self.nodes[0].addr
        lines = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
        write_private(self.environment_path, "\n".join(lines) + "\n")


def _each(work: Callable[[Server], None], servers: Sequence[Server]) -> None:
    """Do it with all at once, wait for all, then raise what the first raised."""
    if not servers:
        return
    with ThreadPoolExecutor(len(servers)) as pool:
        done = [pool.submit(work, server) for server in servers]
    for each in done:
        each.result()
