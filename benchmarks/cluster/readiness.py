"""Seconds until ``/readyz`` says what happened to a backend, and that it is back."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cluster.parts import cluster
from harness.progress import say

from storm_gateway.stack.node import get_status
from storm_gateway.stack.proxy import Proxy
from storm_gateway.stack.stack import Stack
from storm_gateway.stack.toxics import Toxics

PATIENCE = 60.0
ASK_SECONDS = 0.1


def _until(stack: Stack, status: int) -> float:
    """Seconds until the node answers so."""
    node = stack.nodes[0]
    begin = time.monotonic()
    while (answer := get_status(node.host, node.port, "/readyz")) != status:
        if time.monotonic() - begin > PATIENCE:
            raise RuntimeError(f"/readyz is {answer} after {PATIENCE:.0f} s, not {status}")
        time.sleep(ASK_SECONDS)
    return time.monotonic() - begin


@contextmanager
def _settled(stack: Stack, what: str) -> Iterator[dict[str, float]]:
    _until(stack, 200)
    time.sleep(1.0)
    times: dict[str, float] = {}
    yield times
    say(f"{what}: 503 after {times['lost']:.1f} s, 200 after {times['back']:.1f} s")


def measure() -> dict[str, Any]:
    """Each backend killed and frozen; then a bus that takes everything and delivers nothing."""
    found: dict[str, Any] = {}

    def fault(stack: Stack, what: str, harm: Callable[[], None], mend: Callable[[], None]) -> None:
        with _settled(stack, what) as times:
            harm()
            times["lost"] = _until(stack, 503)
            mend()
            times["back"] = _until(stack, 200)
        found[what] = times

    with cluster(1) as stack:
        for server in stack.servers:
            fault(stack, f"{server.name} killed", server.kill, server.start)
            fault(stack, f"{server.name} frozen", server.pause, server.resume)
    proxies: list[Proxy] = []

    def between(stack: Stack) -> None:
        proxy = Proxy((stack.nats.host, stack.nats.port))
        proxies.append(proxy)
        proxy.start()
        stack.nodes[0].settings["STORM_NATS_URL"] = proxy.instead_of(stack.nats.url)

    try:
        with cluster(1, before=between) as stack:
            fault(
                stack,
                "nats takes, delivers nothing",
                lambda: proxies[0].harm(answers=Toxics(stalled=True)),
                proxies[0].heal,
            )
    finally:
        for proxy in proxies:
            proxy.stop()
    return found
