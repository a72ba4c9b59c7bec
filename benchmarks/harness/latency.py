"""One server, one room, all clients in it: how long deliveries take, in open loop."""

import time
from pathlib import Path
from typing import Any

from harness.client import LoadClient
from harness.room import Clock, Plan, client_of, warm_up
from harness.servers import Running, Server, started

# Messages a second that have the room for themselves: the slowest server is done long before the
# next one is due.
SINGLE_RATE = 0.5
SINGLE_SECONDS = 2.0
"""For each second of another load."""


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
        client.burst(1, 1.0)
        rate = deliveries / plan.connections
        result["paced"] = _paced(client, process, rate, plan.seconds)
        time.sleep(1)
        result["single"] = _paced(client, process, SINGLE_RATE, plan.seconds * SINGLE_SECONDS)
        state = client.state()
        if state["joined"] != plan.connections or state["errors"] or state["closed_by_server"]:
            raise RuntimeError(f"connections were lost or refused: {state}")
    return result
