"""The network between clients and nodes: all cut at once, slow, in pieces, broken."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from storm_gateway.audit.scenario import LoadPlan, Scenario, scenario
from storm_gateway.audit.scenarios.tools import BACK_SECONDS
from storm_gateway.audit.times import Spread
from storm_gateway.stack.proxy import Proxy
from storm_gateway.stack.toxics import Toxics

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena
    from storm_gateway.stack.stack import Stack


class _Behind(Scenario):
    """With a proxy in front of each node, to which clients connect."""

    def __init__(self) -> None:
        self.proxies: list[Proxy] = []

    def urls(self, stack: "Stack") -> Sequence[str]:
        for node in stack.nodes:
            proxy = Proxy((node.host, node.port))
            proxy.start()
            self.proxies.append(proxy)
        return [proxy.url for proxy in self.proxies]

    async def clean(self, folder: Path) -> None:
        for proxy in self.proxies:
            await asyncio.to_thread(proxy.stop)


@scenario
class ReconnectStorm(_Behind):
    """Everyone comes back at the same moment, each with what they missed."""

    name = "reconnect-storm"
    title = "All connections are cut at once"
    reference = "F20"
    short = True
    seconds = 6
    load = replace(LoadPlan(), receivers=180)
    times = 2

    async def run(self, arena: "Arena") -> None:
        await arena.steady(2)
        for _ in range(self.times):
            everyone = arena.load.connected
            async with arena.fault("all connections cut") as fault:
                cut = 0
                for proxy in self.proxies:
                    cut += await arena.call(proxy.cut)
            arena.expect(cut >= everyone, f"only {cut} of {everyone} connections were cut")
            took = await arena.until(
                lambda: arena.load.connected == arena.load.clients,
                "not everybody is back",
                seconds=60,
            )
            back = Spread.of(
                each.back_at - each.lost_at
                for each in arena.load.returns
                if each.lost_at >= fault.begin
            )
            arena.figure("back after the cut", f"p95 {back.p95:.2f} s, all {took:.2f} s")
            arena.expect(
                back.p95 <= BACK_SECONDS, f"p95 of returns after the cut: {back.p95:.1f} s"
            )
            await arena.steady(1)


@scenario
class ReconnectStormLarge(ReconnectStorm):
    """The same with more clients."""

    name = "reconnect-storm-large"
    title = "1,000 connections are cut at once, three times"
    short = False
    seconds = 40
    load = replace(LoadPlan(), receivers=980, rate=50.0, subscriptions=1, channels=20)
    times = 3


@scenario
class BadClientNetwork(_Behind):
    """Late, in pieces of one byte, at 8 kB/s, reset in the middle of a frame."""

    name = "bad-client-network"
    title = "Clients' network: 200 ms ± 100, one-byte pieces, 8 kB/s, resets within frames"
    reference = "F19"
    short = True
    seconds = 11
    load = replace(LoadPlan(), rate=40.0, receivers=24)

    async def run(self, arena: "Arena") -> None:
        await arena.steady(1)
        for title, toxics in (
            ("200 ms ± 100 ms", Toxics(latency_seconds=0.2, jitter_seconds=0.1)),
            ("pieces of one byte", Toxics(slice_bytes=1)),
            ("8 kB/s", Toxics(bytes_per_second=8_000)),
            ("reset after 3,001 bytes", Toxics(limit_bytes=3_001)),
        ):
            async with arena.fault(title):
                for proxy in self.proxies:
                    await arena.call(proxy.harm, toxics)
                await asyncio.sleep(2.5)
                for proxy in self.proxies:
                    await arena.call(proxy.heal)
            await arena.acks_again(seconds=BACK_SECONDS)
