"""One server, one room, all clients in it: how long deliveries take, in open loop."""

import time
from pathlib import Path
from typing import Any

from harness.client import LoadClient
from harness.room import Clock, Plan, client_of, warm_up
from harness.servers import Running, Server, started

# A message that has the room for itself is due so long after the one before it: at least these
# seconds, and so many times what the slowest broadcast of this server took.
SINGLE_SECONDS = 2.0
SINGLE_ROOM = 2.0
SINGLE_LEAST = 3
"""Messages, however short the load is."""


def single_load(broadcast_ms: float, seconds: float) -> tuple[float, float]:
    """Messages a second, and for how many seconds, when one broadcast takes ``broadcast_ms``."""
    apart = max(SINGLE_SECONDS, SINGLE_ROOM * broadcast_ms / 1000)
    return 1 / apart, max(seconds * SINGLE_SECONDS, SINGLE_LEAST * apart)


def _paced(client: LoadClient, server: Running, rate: float, seconds: float) -> dict[str, Any]:
    clock = Clock(server.pid, client.pid)
    answer = client.pace(rate, seconds) | clock.read()
    del answer["buckets_us"]  # merely the raw form of what stands beside it
    return answer


def measure_latency(server: Server, plan: Plan, data: Path, deliveries: float) -> dict[str, Any]:
    """Latencies in the full room: at ``deliveries`` a second, and of messages one by one."""
    result: dict[str, Any] = {}
    with (
        started(server, data, plan.secret, cpu=plan.server_cpu) as process,
        client_of(server, process, plan) as client,
    ):
        warm_up(client, plan.connections)
        client.open(plan.connections)
        time.sleep(plan.idle_seconds)
        broadcast = client.burst(1, 1.0)["burst_ms_p99"]
        rate = deliveries / plan.connections
        result["paced"] = _paced(client, process, rate, plan.seconds)
        time.sleep(1)
        result["single"] = _paced(client, process, *single_load(broadcast, plan.seconds))
        state = client.state()
        if state["joined"] != plan.connections or state["errors"] or state["closed_by_server"]:
            raise RuntimeError(f"connections were lost or refused: {state}")
    return result
