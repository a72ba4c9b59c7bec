"""Valkey dies with all it knew, is slow, or hangs. No message ever waits for it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from storm_gateway.audit.load import OWNER
from storm_gateway.audit.scenario import Scenario, scenario
from storm_gateway.audit.scenarios.tools import (
    Proxies,
    ack_times,
    expect_sockets_stayed,
    green,
    harmed,
    killed,
    red,
    valkey_proxies,
)
from storm_gateway.stack.toxics import Toxics

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena
    from storm_gateway.audit.timeline import Fault
    from storm_gateway.stack.stack import Stack

_PRESENCE = {
    "STORM_PRESENCE_LEASE_SECONDS": "6",
    "STORM_PRESENCE_REFRESH_SECONDS": "2",
    "STORM_PRESENCE_GRACE_SECONDS": "1",
    "STORM_PRESENCE_INTERVAL_SECONDS": "0.2",
}
_HEALED_SECONDS = 6.0
"""Two refreshes, and the turn of a busy machine."""
_SLACK_SECONDS = 0.1
"""For the median on a busy machine; ten times that for p99."""


async def online(arena: "Arena") -> list[set[str]]:
    """Who is online in each channel, as REST says."""
    load, found = arena.load, []
    headers = {"Authorization": f"Bearer {load.token(f'{load.run}-{OWNER}')}"}
    async with httpx2.AsyncClient(timeout=5, trust_env=False) as http:
        for channel in load.channels:
            answer = await http.get(
                f"{arena.stack.nodes[-1].url}/channels/{channel}/presence", headers=headers
            )
            users = answer.json().get("users") if answer.is_success else None
            found.append(set(users or ()))
    return found


async def expect_presence(arena: "Arena", before: list[set[str]], seconds: float) -> None:
    """Presence says again what it said."""
    arena.expect(any(before), "nobody was online before the fault")

    async def right() -> bool:
        try:
            return await online(arena) == before
        except httpx2.HTTPError:
            return False

    took = await arena.until(right, "presence is not right again", seconds=seconds)
    arena.figure("presence right again", f"{took:.1f} s after the return")


def expect_acks_unharmed(arena: "Arena", fault: "Fault") -> None:
    """Sends were as fast as before."""
    before = ack_times(arena, 0.0, fault.begin)
    during = ack_times(arena, fault.begin, fault.end or arena.clock())
    arena.figure("ack p99 before", f"{before.p99 * 1000:.0f} ms")
    arena.figure("ack p99 during the fault", f"{during.p99 * 1000:.0f} ms")
    arena.expect(during.count > 0, "nothing was acknowledged during the fault")
    # A send that waited for Valkey would take half a second more, or for ever.
    for name, now, then, slack in (
        ("p50", during.p50, before.p50, _SLACK_SECONDS),
        ("p99", during.p99, before.p99, 10 * _SLACK_SECONDS),
    ):
        arena.expect(
            now <= 2 * then + slack,
            f"ack {name} was {now * 1000:.0f} ms during the fault, {then * 1000:.0f} ms before",
        )


@scenario
class ValkeyKilled(Scenario):
    """It has no disk: it comes back empty, and the nodes tell it everything again."""

    name = "valkey-killed"
    title = "Valkey is killed and comes back empty"
    reference = "F9"
    short = True
    seconds = 7
    settings = _PRESENCE
    unavailable_seconds = 2.0

    async def run(self, arena: "Arena") -> None:
        await arena.steady(2)
        before = await online(arena)
        async with killed(arena, arena.stack.valkey, "Valkey killed") as fault:
            await red(arena)
            await arena.steady(1)
        await green(arena)
        await expect_presence(arena, before, _HEALED_SECONDS)
        expect_sockets_stayed(arena, fault)
        expect_acks_unharmed(arena, fault)


class _Behind(Scenario):
    """With a proxy between each node and Valkey."""

    def __init__(self) -> None:
        self.proxies: Proxies | None = None

    def make_stack(self, stack: "Stack") -> "Stack":
        self.proxies = valkey_proxies(stack)
        return stack

    async def clean(self, folder: Path) -> None:
        if self.proxies is not None:
            self.proxies.stop()


@scenario
class ValkeySlow(_Behind):
    """Every answer of Valkey takes half a second; then none comes at all."""

    name = "valkey-slow"
    title = "Valkey answers after 500 ms, then not at all"
    reference = "F10"
    short = True
    seconds = 10
    settings = _PRESENCE
    unavailable_seconds = 2.0

    async def run(self, arena: "Arena") -> None:
        assert self.proxies is not None  # noqa: S101 make_stack came first
        heal = self.proxies.do(lambda proxy: proxy.heal())
        await arena.steady(3)
        before = await online(arena)
        slow = self.proxies.do(lambda proxy: proxy.harm(answers=Toxics(latency_seconds=0.5)))
        async with harmed(arena, "Valkey answers after 500 ms", slow, heal) as first:
            await asyncio.sleep(3)
        hung = self.proxies.do(lambda proxy: proxy.stall())
        async with harmed(arena, "Valkey hangs", hung, heal) as second:
            await red(arena)
            await arena.steady(2)
        await green(arena)
        await expect_presence(arena, before, _HEALED_SECONDS)
        for fault in (first, second):
            expect_sockets_stayed(arena, fault)
            expect_acks_unharmed(arena, fault)
