"""One server, one room, all clients in it: upgrades, memory and deliveries."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.client import LoadClient, load_client
from harness.procfs import cpu_seconds, machine_busy, pss_bytes
from harness.servers import Running, Server, started

FRAMES_PER_WRITE = (1, 4, 16)
# So many connections come and go first: what a server loads at its first connection, and what
# Node compiles, is no part of what one more connection costs.
WARM_UP = 100


@dataclass(frozen=True)
class Plan:
    """How large and how long."""

    connections: int
    seconds: float
    idle_seconds: float
    server_cpu: int
    client_cpu: int
    client_program: Path
    tokens: Path
    secret: str


class Clock:
    """CPU time of both ends and of everybody else between start and ``read``."""

    def __init__(self, server_pid: int, client_pid: int) -> None:
        self._pids = (server_pid, client_pid)
        self._cpu = [cpu_seconds(pid) for pid in self._pids]
        self._machine = machine_busy()
        self._time = time.monotonic()

    def read(self) -> dict[str, float]:
        """Seconds of wall, server, client, other processes, and stolen by the host."""
        machine = machine_busy()
        server, client = (
            cpu_seconds(pid) - before for pid, before in zip(self._pids, self._cpu, strict=True)
        )
        return {
            "elapsed_seconds": time.monotonic() - self._time,
            "server_cpu_seconds": server,
            "client_cpu_seconds": client,
            "other_cpu_seconds": max(0.0, machine.used - self._machine.used - server - client),
            "stolen_seconds": machine.stolen - self._machine.stolen,
        }


def _opened(client: LoadClient, server: Running, connections: int) -> dict[str, Any]:
    clock = Clock(server.pid, client.pid)
    answer = client.open(connections) | clock.read()
    answer["per_second"] = connections / answer["seconds"]
    answer["per_cpu_second"] = connections / max(0.01, answer["server_cpu_seconds"])
    return answer


def _delivered(client: LoadClient, server: Running, frames: int, seconds: float) -> dict[str, Any]:
    clock = Clock(server.pid, client.pid)
    answer = client.burst(frames, seconds) | clock.read()
    answer["per_second"] = answer["deliveries"] / answer["seconds"]
    answer["per_cpu_second"] = answer["deliveries"] / max(0.01, answer["server_cpu_seconds"])
    return answer


def client_of(server: Server, process: Running, plan: Plan) -> AbstractContextManager[LoadClient]:
    """A load client that talks as this server does."""
    return load_client(
        plan.client_program,
        process.port,
        plan.tokens,
        cpu=plan.client_cpu,
        dialect=server.dialect,
    )


def warm_up(client: LoadClient, count: int) -> None:
    """A few connections come and go."""
    client.open(min(WARM_UP, count))
    client.burst(1, 0.2)
    client.close()
    time.sleep(1)


def measure_room(server: Server, plan: Plan, data: Path) -> dict[str, Any]:
    """All rows of one server that need the full room."""
    result: dict[str, Any] = {}
    count = plan.connections
    with (
        started(server, data, plan.secret, cpu=plan.server_cpu) as process,
        client_of(server, process, plan) as client,
    ):
        warm_up(client, count)
        empty = pss_bytes(process.pid)

        result["upgrade"] = _opened(client, process, count)
        time.sleep(plan.idle_seconds)
        result["idle_bytes"] = (pss_bytes(process.pid) - empty) / count
        client.burst(1, 0.01)
        time.sleep(1)
        result["idle_bytes_after_broadcast"] = (pss_bytes(process.pid) - empty) / count

        for frames in FRAMES_PER_WRITE:
            result[f"deliver_{frames}"] = _delivered(client, process, frames, plan.seconds)
        result["bytes_after_load"] = (pss_bytes(process.pid) - empty) / count

        state = client.state()
        if state["joined"] != count or state["errors"] or state["closed_by_server"]:
            raise RuntimeError(f"connections were lost or refused: {state}")
        # The same users once more, as after a restart: nobody is new any longer.
        client.close()
        time.sleep(plan.idle_seconds)
        result["reconnect"] = _opened(client, process, count)
    return result
