"""The clock of one node is wrong, and jumps."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import jwt

from storm_gateway.audit.scenario import Scenario, scenario
from storm_gateway.audit.scenarios.tools import expect_sockets_stayed, green, harmed
from storm_gateway.stack.clock import SkewedClock

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena
    from storm_gateway.stack.node import NodeServer
    from storm_gateway.stack.stack import Stack

_AHEAD, _BEHIND, _DAY = 600.0, -600.0, 86_400.0
_LEEWAY_SECONDS = 30.0
"""Below what the nodes forgive in the time of a token's making."""


@scenario
class ClockSkew(Scenario):
    """Order is by ``seq`` and time limits by a clock that only goes forward, so a wrong date
    harms nobody. Only tokens know real time.
    """

    name = "clock-skew"
    title = "A node's clock is 10 min ahead, 10 min behind, a day ahead, and right again"
    reference = "F17"
    short = True
    seconds = 8
    unavailable_seconds = 3.0

    def __init__(self) -> None:
        self.clock: SkewedClock | None = None

    def make_stack(self, stack: "Stack") -> "Stack":
        self.clock = SkewedClock(stack.folder / "clock")
        stack.nodes[0].settings |= self.clock.environment
        return stack

    async def before(self, arena: "Arena") -> None:
        # Good for every clock of this scenario: made long ago, and good for long.
        now = int(time.time())
        for client in arena.load.everyone():
            client.token = _token(arena, client.user_id, now - 7_200, now + 3 * 86_400)
        arena.load.drop_all()
        await arena.until(
            lambda: arena.load.connected == arena.load.clients,
            "not everybody is back with another token",
            seconds=30,
        )

    async def run(self, arena: "Arena") -> None:
        assert self.clock is not None  # noqa: S101 make_stack came first
        clock, node = self.clock, arena.stack.nodes[0]
        await arena.steady(1)
        await self._expect_leeway(arena, clock, node)
        for title, shift in (
            ("10 min ahead", _AHEAD),
            ("10 min behind, after a step back of 20 min", _BEHIND),
            ("a day ahead", _DAY),
        ):
            async with harmed(
                arena,
                f"{node.name} is {title}",
                lambda shift=shift: clock.shift(shift),  # type: ignore[misc]
                lambda: None,
            ) as fault:
                await arena.steady(1.5)
                await green(arena)
            expect_sockets_stayed(arena, fault)
        # It starts with a wrong clock, too, and is put right while it runs: a step back of a day.
        await arena.call(node.kill)
        await arena.call(node.start)
        await green(arena)
        await arena.steady(1)
        await arena.call(clock.shift, 0.0)
        await arena.steady(1)

    async def _expect_leeway(self, arena: "Arena", clock: SkewedClock, node: "NodeServer") -> None:
        """A token that was made just now is good on a node that is a little behind, and not on
        one that is far behind.
        """
        user = f"{arena.load.run}-s0"
        for shift, expected in ((-_LEEWAY_SECONDS, 200), (_BEHIND, 401)):
            await arena.call(clock.shift, shift)
            await asyncio.sleep(0.1)
            now = int(time.time())
            # Each time another one: a token that was found good is good until its end.
            status = await _status(arena, node, _token(arena, user, now, now + expected))
            arena.expect(
                status == expected,
                f"a new token on a node {-shift:g} s behind: {status} in place of {expected}",
            )
        await arena.call(clock.shift, 0.0)

    async def after(self, arena: "Arena") -> None:
        ids = [id_ for number, id_ in enumerate(arena.load.ledger.ack_id) if id_ and number >= 0]
        arena.expect(len(ids) == len(set(ids)), "two messages were given one id")

    async def clean(self, folder: Path) -> None:
        """Its files are in the folder of the run."""


def _token(arena: "Arena", user_id: str, issued_at: int, expires_at: int) -> str:
    claims = {"sub": user_id, "iat": issued_at, "exp": expires_at}
    return jwt.encode(claims, arena.stack.secret, "HS256")


async def _status(arena: "Arena", node: "NodeServer", token: str) -> int:
    import httpx2

    async with httpx2.AsyncClient(timeout=5, trust_env=False) as http:
        answer = await http.get(
            f"{node.url}/channels", headers={"Authorization": f"Bearer {token}"}
        )
    return answer.status_code
