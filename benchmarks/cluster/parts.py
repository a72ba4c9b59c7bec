"""What the measurements share: a cluster with channels and tokens, REST, and who used the CPU."""

import http.client
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.paths import BUILD
from harness.processes import PRIORITY
from harness.tokens import token_of

from storm_gateway.stack.node import NodeServer
from storm_gateway.stack.processes import family_of
from storm_gateway.stack.stack import Stack

WORK = BUILD / "cluster"
OPEN = {
    # What bounds users would bound the measurement.
    "STORM_AUTH_RATE_LIMIT_ENABLED": "false",
    "STORM_COMMANDS_PER_SECOND": "1000000",
    "STORM_COMMANDS_BURST": "1000000",
    "STORM_MAX_CONNECTIONS_PER_USER": "1000",
    "STORM_DRAIN_SECONDS": "1",
}
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def cluster(
    nodes: int,
    *,
    embedded: bool = False,
    settings: Mapping[str, str] | None = None,
    before: Callable[[Stack], None] = lambda stack: None,
) -> Iterator[Stack]:
    """Nodes with real servers, all new; or on the embedded default, each alone. ``before`` may
    change the stack before it starts.
    """
    shutil.rmtree(WORK, ignore_errors=True)
    stack = Stack(WORK, nodes=nodes, embedded=embedded, settings={**OPEN, **(settings or {})})
    try:
        before(stack)
        with stack:
            for server in [*stack.servers, *stack.nodes]:
                _ahead(server.pid)
            yield stack
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


def _ahead(pid: int) -> None:
    """Let a family of processes run ahead of whatever else the machine does, where that may be.

    Sessions share the processors evenly, whatever the priority of their processes is.
    """
    for each in family_of(pid):
        with suppress(OSError):
            Path(f"/proc/{each}/autogroup").write_text(str(PRIORITY))


def go_ahead() -> None:
    """The same for this process and all that it starts from now on."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    _ahead(os.getpid())


class Rest:
    """One connection to one node's REST API, as one user."""

    def __init__(self, node: NodeServer, token: str) -> None:
        self._connection = http.client.HTTPConnection(node.host, node.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of the answer. Raises ``RuntimeError`` for a refusal."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return json.loads(content) if content else None

    def channels(self, count: int) -> None:
        """Make channels 2 … ``count`` beside the one that every database has."""
        for number in range(2, count + 1):
            made = self.ask(
                "POST", "/channels", {"name": f"bench-{number}", "visibility": "public"}
            )
            if made["id"] != number:
                raise RuntimeError(f"channel {number} was made as {made['id']}")


def token(stack: Stack, user: str) -> str:
    """An access token of this user."""
    return token_of(stack.secret, user)


class Shares:
    """CPU seconds of each process of a stack, and of the load clients, since it was made."""

    def __init__(self, stack: Stack, clients: Mapping[str, int]) -> None:
        servers = [*stack.servers, *stack.nodes]
        self._roots = {server.name: server.pid for server in servers} | dict(clients)
        self._before = {name: _cpu_seconds(pid) for name, pid in self._roots.items()}
        self._machine = _machine_seconds()
        self._time = time.monotonic()

    def read(self) -> dict[str, float]:
        """Cores used on average, by name; ``other``: what is not of the measurement."""
        seconds = time.monotonic() - self._time
        used = {
            name: (_cpu_seconds(pid) - self._before[name]) / seconds
            for name, pid in self._roots.items()
        }
        used["other"] = max(
            0.0, (_machine_seconds() - self._machine) / seconds - sum(used.values())
        )
        return used


def _cpu_seconds(pid: int) -> float:
    """Of a process and its descendants, those that ended meanwhile included."""
    total = 0
    for each in family_of(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def _machine_seconds() -> float:
    user, nice, system, _idle, _iowait, irq, softirq = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + irq + softirq) / TICKS


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p99 and the largest."""
    ordered = sorted(values)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99)]
    return {"p50": at[0], "p99": at[1], "max": ordered[-1], "count": len(ordered)}
