"""Real servers and nodes on this machine, as one thing: started and ended together."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.kept import kept_secret
from storm_gateway.stack.nats import NatsServer
from storm_gateway.stack.node import NodeServer
from storm_gateway.stack.postgres import PostgresServer
from storm_gateway.stack.process import Server
from storm_gateway.stack.valkey import ValkeyServer


class Stack:
    """NATS, Valkey, PostgreSQL and nodes that use them, with everything under one folder.

    The methods block, and may be called from any thread. The parts may be changed until
    :meth:`start`: ``stack.nodes[0].settings["STORM_NATS_URL"] = proxy.url`` goes before what all
    nodes get.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 2,
        settings: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        embedded: bool = False,
    ) -> None:
        """``settings``: variables ``STORM_…`` of all nodes. ``embedded``: nodes on the embedded
        default, without servers (they know nothing of each other). Nothing runs yet.
        """
        self.folder = folder
        self.more_settings = dict(settings or {})
        self.embedded = embedded
        self.nats = NatsServer(folder / "nats", password=self._secret("nats"), host=host)
        self.valkey = ValkeyServer(folder / "valkey", password=self._secret("valkey"), host=host)
        self.postgres = PostgresServer(folder / "postgres", host=host)
        self.nodes = [
            NodeServer(folder / name, name=name, host=host)
            for name in (f"node-{number}" for number in range(1, nodes + 1))
        ]
        self._lock: int | None = None
        self._ending = threading.Event()

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
    def processes(self) -> list[Server]:
        """Everything that :meth:`start` starts, in that order."""
        return [*self.servers, *self.nodes]

    def died(self) -> str | None:
        """Which process ended although nobody asked it to, and why; None: all is well."""
        for server in self.processes:
            if server.died:
                return server.why_it_ended()
        return None

    # --- life ---

    def start(self, tell: Callable[[Server, float], None] | None = None) -> None:
        """Start the servers, then the nodes; each kind at once. ``tell`` hears which one answers
        after how many seconds. Raises :class:`StackError`, and then nothing runs.
        """
        try:
            self.start_servers(tell)
            self.start_nodes(tell)
        except BaseException:
            self.stop()
            raise

    def start_servers(self, tell: Callable[[Server, float], None] | None = None) -> None:
        """Start NATS, Valkey and PostgreSQL. Raises :class:`StackError`."""
        self._ending.clear()
        self._take_folder()
        self._start(self.servers, tell)

    def start_nodes(self, tell: Callable[[Server, float], None] | None = None) -> None:
        """Start the nodes. Raises :class:`StackError`."""
        for node in self.nodes:
            node.settings = {**self.settings, **node.settings}
        self._start(self.nodes, tell)

    def stop(self) -> None:
        """End the nodes (they drain), then the servers. May be called again, and at any time."""
        self._ending.set()
        _each(lambda server: server.stop(), self.nodes)
        _each(lambda server: server.stop(), self.servers)
        self._give_folder_back()

    def hurry(self) -> None:
        """Let a :meth:`stop` that waits in another thread end at once. Messages stay durable."""
        for server in self.processes:
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
            begin = time.monotonic()
            if self._ending.is_set():
                raise StackError(f"{server.name} is not started: the end has begun")
            server.start()
            if tell is not None:
                tell(server, time.monotonic() - begin)

        for server in servers:
            server.claim()
        _each(one, servers)

    def _secret(self, name: str) -> str:
        return kept_secret(self.folder / name / "password")

    def _take_folder(self) -> None:
        if self._lock is not None:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / "lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Ends with this process, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 20).decode(errors="replace").strip()
            os.close(lock)
            raise StackError(
                f"{self.folder} is in use by process {owner}: end that one first, or take "
                "another folder"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

    def _give_folder_back(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _each(work: Callable[[Server], None], servers: Sequence[Server]) -> None:
    """Do it with all at once, wait for all, then raise what the first raised."""
    if not servers:
        return
    with ThreadPoolExecutor(len(servers)) as pool:
        done = [pool.submit(work, server) for server in servers]
    for each in done:
        each.result()
