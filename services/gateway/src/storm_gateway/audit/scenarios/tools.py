"""What several scenarios do: servers that go and come back, proxies, and figures."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING

from storm_gateway.audit.ledger import ACKED
from storm_gateway.audit.times import Spread
from storm_gateway.stack.errors import StackError
from storm_gateway.stack.proxy import Proxy

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena
    from storm_gateway.audit.timeline import Fault
    from storm_gateway.stack.node import NodeServer
    from storm_gateway.stack.process import Server
    from storm_gateway.stack.stack import Stack

READY_SECONDS = 10.0
"""``/readyz`` is red so soon after the loss of a backend, and green so soon after its return."""
BACK_SECONDS = 5.0
"""Clients of a killed node are back on others (p95), and sends accepted after a database's
return.
"""
AWAY_SECONDS = 5.0
"""No client is without a usable connection for longer while nodes are updated or join."""


@contextlib.asynccontextmanager
async def killed(
    arena: "Arena", server: "Server", title: str, *, node: "NodeServer | None" = None
) -> AsyncIterator["Fault"]:
    """``kill -9`` now, started again at the end."""
    async with arena.fault(title, node=node) as fault:
        await arena.call(server.kill)
        try:
            yield fault
        finally:
            await arena.call(server.start)


@contextlib.asynccontextmanager
async def frozen(
    arena: "Arena", server: "Server", title: str, *, node: "NodeServer | None" = None
) -> AsyncIterator["Fault"]:
    """``SIGSTOP`` now, ``SIGCONT`` at the end: connections stay, nothing is answered."""
    async with arena.fault(title, node=node) as fault:
        await arena.call(server.pause)
        try:
            yield fault
        finally:
            await arena.call(server.resume)


@contextlib.asynccontextmanager
async def harmed(
    arena: "Arena",
    title: str,
    begin: Callable[[], object],
    end: Callable[[], object],
    *,
    node: "NodeServer | None" = None,
) -> AsyncIterator["Fault"]:
    """``begin`` now, ``end`` in any case afterwards."""
    async with arena.fault(title, node=node) as fault:
        await arena.call(begin)
        try:
            yield fault
        finally:
            await arena.call(end)


async def red(arena: "Arena", nodes: "Iterable[NodeServer] | None" = None) -> None:
    """``/readyz`` says 503 soon, on all nodes or these."""
    took = await _readiness(arena, nodes, expected=False)
    arena.figure("/readyz red after the loss", f"{took:.1f} s")


async def stays_red(arena: "Arena", seconds: float) -> None:
    """``/readyz`` says 503 on every node for so long, whenever it is asked."""
    end = arena.clock() + seconds
    while arena.clock() < end:
        for node in arena.stack.nodes:
            status, _ = await arena.get(node, "/readyz")
            if status != 503:
                arena.expect(False, f"/readyz of {node.name} says {status} during the fault")
                return
        await asyncio.sleep(0.1)


async def green(arena: "Arena", nodes: "Iterable[NodeServer] | None" = None) -> None:
    """``/readyz`` says 200 soon, on all nodes or these."""
    took = await _readiness(arena, nodes, expected=True)
    arena.figure("/readyz green after the return", f"{took:.1f} s")


async def _readiness(
    arena: "Arena", nodes: "Iterable[NodeServer] | None", *, expected: bool
) -> float:
    if nodes is None:
        return await arena.all_ready(expected=expected, seconds=READY_SECONDS)
    waits = (arena.ready(node, expected=expected, seconds=READY_SECONDS) for node in nodes)
    return max(await asyncio.gather(*waits))


async def accepted_soon(arena: "Arena", seconds: float = BACK_SECONDS) -> None:
    """Sends are accepted again."""
    took = await arena.acks_again(seconds=seconds)
    arena.figure("sends accepted after the return", f"{took:.2f} s")


def expect_back(arena: "Arena", node: "NodeServer", fault: "Fault") -> None:
    """Nearly all clients of a node that is gone are on others within the bound."""
    found = Spread.of(
        each.back_at - fault.begin
        for each in arena.load.returns
        if each.node == node.name and fault.begin <= each.lost_at <= (fault.end or arena.clock())
    )
    arena.figure(f"clients of {node.name} back, p95", f"{found.p95:.2f} s ({found.count} clients)")
    arena.expect(found.count > 0, f"no client of {node.name} had to come back: it had none")
    arena.expect(
        found.p95 <= BACK_SECONDS,
        f"clients of {node.name} needed {found.p95:.1f} s (p95) to be back; {BACK_SECONDS:g} s "
        "are allowed",
    )


def expect_short_absences(arena: "Arena") -> None:
    """How long each client was away, every time that it lost its connection."""
    away = Spread.of(each.back_at - each.lost_at for each in arena.load.returns)
    arena.figure(
        "clients away: p50, p95, longest",
        f"{away.p50:.2f}, {away.p95:.2f}, {away.most:.2f} s ({away.count} times)",
    )
    seconds = Counter(int(each.back_at) for each in arena.load.returns)
    arena.figure("clients back in one second, at most", max(seconds.values(), default=0))
    arena.expect(away.count > 0, "no client had to move: nothing was proved")
    arena.expect(
        away.most <= AWAY_SECONDS,
        f"a client was away for {away.most:.1f} s; {AWAY_SECONDS:g} s are allowed",
    )


def ack_times(arena: "Arena", begin: float, end: float) -> Spread:
    """From try to ack, of messages that were first sent between two moments."""
    ledger = arena.load.ledger
    return Spread.of(
        ledger.acked_at[number] - ledger.tried_at[number]
        for number in range(ledger.attempts)
        if ledger.state[number] == ACKED and begin <= ledger.tried_at[number] < end
    )


def connections_lost(arena: "Arena", begin: float, end: float) -> int:
    """How many clients lost their connection between two moments and came back."""
    return sum(begin <= each.lost_at < end for each in arena.load.returns)


def expect_sockets_stayed(arena: "Arena", fault: "Fault") -> None:
    """Nobody was disconnected while a backend was away."""
    lost = connections_lost(arena, fault.begin, fault.end or arena.clock())
    arena.expect(not lost, f"{lost} connections were lost during the fault '{fault.title}'")


class Proxies:
    """Proxies between each node and one server."""

    def __init__(self, stack: "Stack", server: "Server", setting: str, url: str) -> None:
        """``setting``: which variable of the nodes names the server; ``url``: what it says."""
        server.claim()
        self.each: dict[str, Proxy] = {}
        for node in stack.nodes:
            proxy = Proxy((server.host, server.port))
            proxy.start()
            node.settings[setting] = proxy.instead_of(url)
            self.each[node.name] = proxy

    def do(self, harm: Callable[[Proxy], object]) -> Callable[[], None]:
        """The same for all of them, to be called later."""

        def work() -> None:
            for proxy in self.each.values():
                harm(proxy)

        return work

    def stop(self) -> None:
        """End them."""
        for proxy in self.each.values():
            proxy.stop()


def nats_proxies(stack: "Stack") -> Proxies:
    """Between each node and NATS."""
    return Proxies(stack, stack.nats, "STORM_NATS_URL", stack.nats.url)


def valkey_proxies(stack: "Stack") -> Proxies:
    """Between each node and Valkey."""
    return Proxies(stack, stack.valkey, "STORM_REDIS_URL", stack.valkey.url)


def postgres_proxies(stack: "Stack") -> Proxies:
    """Between each node and PostgreSQL."""
    return Proxies(stack, stack.postgres, "STORM_DATABASE_URL", stack.postgres.url)


async def start_or_say(arena: "Arena", server: "Server") -> bool:
    """Start; whether it runs. What it said goes into the report."""
    try:
        await arena.call(server.start)
    except StackError as error:
        arena.expect(False, str(error))
        return False
    return True
