"""Where a scenario happens: the servers, the load, and the means to harm, wait and judge."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import httpx2

from storm_gateway.audit.timeline import Clock, Fault, Timeline

if TYPE_CHECKING:
    from storm_gateway.audit.load import Load
    from storm_gateway.stack.node import NodeServer
    from storm_gateway.stack.stack import Stack

_POLL_SECONDS = 0.05
_READY_SECONDS = 30.0
_ANSWER_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")


class ScenarioError(Exception):
    """The scenario could not be carried out, or waited for something in vain."""


class Arena:
    """What a scenario is given."""

    def __init__(self, stack: "Stack", load: "Load", clock: Clock, seed: int) -> None:
        self.stack = stack
        """The servers: ``nodes``, ``nats``, ``valkey``, ``postgres``. Their methods block: see
        :meth:`call`.
        """
        self.load = load
        """The clients: ``acked``, ``delivered``, ``connected`` count what happened so far."""
        self.clock = clock
        self.random = random.Random(seed)  # noqa: S311 repeatable, not secret
        self.timeline = Timeline()
        self.broken: list[str] = []
        """What did not hold; one sentence each. Any makes the run fail."""
        self.figures: dict[str, str] = {}
        """What the scenario measured besides, for the report."""

    # --- harm ---

    @asynccontextmanager
    async def fault(self, title: str, *, node: "NodeServer | None" = None) -> AsyncIterator[Fault]:
        """Something is broken in here; at the end of the block it is whole again.

        ``node``: the one whose clients must leave it; how long they take is then measured.
        """
        fault = Fault(title, self.clock(), node=node.name if node is not None else "")
        self.timeline.faults.append(fault)
        try:
            yield fault
        finally:
            fault.end = self.clock()

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work beside the load: ``await arena.call(arena.stack.nats.kill)``."""
        return await asyncio.to_thread(work, *args, **kwargs)

    def note(self, text: str) -> None:
        """Put a line into the report, with the time."""
        self.timeline.notes.append((self.clock(), text))

    # --- wait ---

    async def steady(self, seconds: float) -> None:
        """Let the load run. Raises :class:`ScenarioError` when nothing at all was acknowledged."""
        before = self.load.acked
        await asyncio.sleep(seconds)
        if self.load.acked == before:
            raise ScenarioError(f"nothing was acknowledged in {seconds:g} s without a fault")

    async def until(
        self, holds: Callable[[], bool | Awaitable[bool]], what: str, *, seconds: float
    ) -> float:
        """Wait for a condition; gives the seconds that it took. Raises :class:`ScenarioError`
        naming ``what`` when it does not come true in time.
        """
        begin = time.monotonic()
        while True:
            found = holds()
            if not isinstance(found, bool):
                found = await found
            took = time.monotonic() - begin
            if found:
                return took
            if took > seconds:
                raise ScenarioError(f"{what}: not within {seconds:g} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def acks_again(self, *, seconds: float = _READY_SECONDS) -> float:
        """Wait until a message is acknowledged that was not yet; gives the seconds it took."""
        before = self.load.acked
        return await self.until(
            lambda: self.load.acked > before, "no message is acknowledged", seconds=seconds
        )

    async def ready(
        self, node: "NodeServer", *, expected: bool = True, seconds: float = _READY_SECONDS
    ) -> float:
        """Wait until ``/readyz`` of a node says 200 (``expected=False``: 503); the seconds."""

        async def says_so() -> bool:
            status, _ = await self.get(node, "/readyz")
            return status == (200 if expected else 503)

        what = f"{node.name} is {'not ready' if expected else 'still ready'}"
        return await self.until(says_so, what, seconds=seconds)

    async def all_ready(self, *, expected: bool = True, seconds: float = _READY_SECONDS) -> float:
        """The same for all running nodes; the slowest one's seconds."""
        nodes = [node for node in self.stack.nodes if node.running and not node.paused]
        waits = (self.ready(node, expected=expected, seconds=seconds) for node in nodes)
        return max(await asyncio.gather(*waits), default=0.0)

    # --- look ---

    async def get(self, node: "NodeServer", path: str) -> tuple[int, str]:
        """(status, body) of a GET; status 0 when the node does not answer."""
        try:
            async with httpx2.AsyncClient(timeout=_ANSWER_SECONDS) as http:
                answer = await http.get(f"{node.url}{path}")
        except httpx2.HTTPError:
            return 0, ""
        return answer.status_code, answer.text

    async def metric(self, node: "NodeServer", name: str) -> float:
        """The sum of all samples of one metric of a node (0 when it has none)."""
        _, text = await self.get(node, "/metrics")
        total = 0.0
        for line in text.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name:
                total += float(value)
        return total

    # --- judge ---

    def expect(self, holds: bool, otherwise: str) -> None:
        """Something besides the ledger that must hold; ``otherwise`` says what did not."""
        if not holds:
            self.broken.append(otherwise)

    def figure(self, name: str, value: object) -> None:
        """A measured figure for the report (with its unit in the text)."""
        self.figures[name] = str(value)
