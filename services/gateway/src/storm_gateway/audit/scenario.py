"""What a scenario is: a fault with a name, the load it happens under, and what must hold.

A scenario is written as one class in a module of ``audit/scenarios``::

    @scenario
    class NatsKilled(Scenario):
        name = "nats-killed"
        title = "NATS is killed and is back after 3 s"
        reference = "F5"
        short = True
        seconds = 20

        async def run(self, arena: Arena) -> None:
            await arena.steady(3)
            async with arena.fault("NATS killed"):
                await arena.call(arena.stack.nats.kill)
                await asyncio.sleep(3)
                await arena.call(arena.stack.nats.start)

The load runs from before :meth:`Scenario.run` until it has returned and ``seconds`` are over; then
nobody sends any more, everybody catches up, :meth:`Scenario.after` may look, and the verdict is
found. A scenario never looks at messages itself: the ledger does that, for all of them alike.
"""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena
    from storm_gateway.stack.stack import Stack

_SCENARIOS = "storm_gateway.audit.scenarios"


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How much happens while a fault does."""

    senders: int = 20
    receivers: int = 60
    """Each subscribes to ``subscriptions`` channels; spread over all nodes."""
    channels: int = 6
    """Every second one is private: only its members may receive it."""
    subscriptions: int = 2
    """Channels of each receiver."""
    rate: float = 100.0
    """Messages a second, all senders together, on a schedule that does not wait for acks."""
    payload_characters: int = 80
    outsiders: int = 2
    """Clients who ask for private channels that are not theirs, and must never get anything."""
    delivery_seconds: float = 5.0
    """How soon after a fault's end what was accepted should have been delivered."""


class Scenario:
    """One fault, or a row of them. Subclasses fill the fields and :meth:`run`.

    One object is made for each run, so it may keep state of its own.
    """

    name: ClassVar[str] = ""
    """As ``--scenario`` takes it: lower case, with hyphens."""
    title: ClassVar[str] = ""
    """The fault in words, as the report says it."""
    reference: ClassVar[str] = ""
    """Its number in the fault matrix of docs/audit.md, like F5; empty for others."""
    short: ClassVar[bool] = False
    """Whether it belongs to ``make test``; ``make chaos`` runs all."""
    seconds: ClassVar[float] = 20.0
    """How long there is load at least. A ``run`` that takes longer prolongs it."""
    nodes: ClassVar[int] = 2
    load: ClassVar[LoadPlan] = LoadPlan()
    settings: ClassVar[Mapping[str, str]] = {}
    """Settings of all nodes beside those of the stack, as in their environment: STORM_…."""
    unavailable_seconds: ClassVar[float | None] = None
    """Longest time without any ack that is accepted; None: told, not judged."""
    expects_fault: ClassVar[bool] = True
    """A run in which no fault was marked with :meth:`Arena.fault` then fails."""
    embedded: ClassVar[bool] = False
    """One node on the embedded default: SQLite, no NATS, no Valkey."""

    def missing(self) -> str:
        """What this machine lacks for it ("needs root"), or an empty string. Then it is skipped,
        and the report says so.
        """
        return ""

    def make_stack(self, stack: "Stack") -> "Stack":
        """A hook to change the stack before it starts (a proxy between a node and a server, a
        server's own settings), or to give another one.
        """
        return stack

    def urls(self, stack: "Stack") -> Sequence[str]:
        """Where clients connect, ``http://host:port`` each; by default the address of every node.
        Called once, when the stack is up. Give those of a proxy to harm the clients' network.
        """
        return [node.url for node in stack.nodes]

    async def before(self, arena: "Arena") -> None:
        """The stack is up and everyone is connected; nothing has been sent yet."""

    async def run(self, arena: "Arena") -> None:
        """Do the harm, under load, and undo it."""
        raise NotImplementedError

    async def after(self, arena: "Arena") -> None:
        """Everything was delivered, or given up; the stack is still up. What must be true besides
        the ledger is said here, with :meth:`Arena.expect` and :meth:`Arena.figure`.
        """

    async def clean(self, folder: Path) -> None:
        """Take away what the scenario left on the machine (network namespaces, mounts). Called in
        any case, after the stack was stopped.
        """


class Plain(Scenario):
    """No fault at all: what ``storm audit`` does when it is told no scenario."""

    name = "plain"
    title = "No fault"
    expects_fault = False

    async def run(self, arena: "Arena") -> None:
        pass


_REGISTERED: dict[str, type[Scenario]] = {}

S = TypeVar("S", bound=type[Scenario])


def scenario(kind: S) -> S:
    """Register a scenario by its name. Raises ``ValueError`` for one that names nothing, or what
    another one is called.
    """
    if not kind.name or not kind.title:
        raise ValueError(f"{kind.__qualname__} needs a name and a title")
    if _REGISTERED.setdefault(kind.name, kind) is not kind:
        raise ValueError(f"there are two scenarios called {kind.name!r}")
    return kind


def scenarios() -> dict[str, type[Scenario]]:
    """All scenarios by name, in order of their reference number."""
    package = importlib.import_module(_SCENARIOS)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{_SCENARIOS}.{module.name}")
    return dict(sorted(_REGISTERED.items(), key=lambda item: _order(item[1])))


def _order(kind: type[Scenario]) -> tuple[int, str]:
    digits = "".join(filter(str.isdigit, kind.reference))
    return int(digits) if digits else 1_000, kind.name
