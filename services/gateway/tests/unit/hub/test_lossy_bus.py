"""A bus that loses, doubles, delays and reorders: nobody hears it, and all is heard in the end."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from hub_harness import Listener, Node

from storm_gateway.bus.base import BusEvent, ChannelEvent
from storm_gateway.bus.memory import MemoryBus

SEEDS = 120
RUNS = 10
"""Tests that share the seeds, so that a failure says sooner where it is."""


class LossyBus(MemoryBus):
    """Treats channel events as its dice say; those that it keeps back come when it is told."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self.kept: list[tuple[str, BusEvent]] = []
        self.mishaps = 0

    def publish(self, topic: str, event: BusEvent) -> None:
        fate = self._dice.random() if isinstance(event, ChannelEvent) else 1.0
        self.mishaps += fate < 0.6
        if fate < 0.2:
            return
        if fate < 0.4:
            super().publish(topic, event)
        if fate < 0.6:
            self.kept.append((topic, event))
            return
        super().publish(topic, event)

    def let_some_go(self) -> None:
        """Late ones, in any order."""
        self._dice.shuffle(self.kept)
        for _ in range(self._dice.randint(0, len(self.kept))):
            super().publish(*self.kept.pop())


class Story:
    """People come, return and leave while messages are committed."""

    def __init__(self, node: Node, bus: LossyBus, dice: random.Random) -> None:
        self.node, self.bus, self.dice = node, bus, dice
        self.total = 0
        self.here: list[tuple[Listener, int | None]] = []
        self.gone: list[tuple[Listener, int | None]] = []

    async def say(self) -> None:
        count = self.dice.randint(1, 4)
        self.total += count
        await self.node.say(count)

    async def come(self) -> None:
        since = self.dice.choice([None, 0, self.dice.randint(0, self.total), self.total])
        self.here.append((await self.node.listen(since=since), since))

    async def leave(self) -> None:
        if self.here:
            found = self.here.pop(self.dice.randrange(len(self.here)))
            self.node.hang_up(found[0])
            self.gone.append(found)

    async def late(self) -> None:
        self.bus.let_some_go()

    async def turn(self) -> None:
        await asyncio.sleep(0)

    async def disruption(self) -> None:
        self.node.hub.repair_all()

    async def happen(self, steps: int) -> None:
        ways: list[Callable[[], Any]] = [
            *[self.say] * 4,
            *[self.come] * 2,
            self.leave,
            *[self.late] * 2,
            self.turn,
            self.disruption,
        ]
        for _ in range(steps):
            await self.dice.choice(ways)()

    def heard(self, listener: Listener, since: int | None) -> list[int]:
        """What it heard, checked to be without holes, after what it had."""
        start = listener.said("subscribed")[0]["head"] if since is None else since
        seqs = listener.seqs
        assert seqs == list(range(start + 1, start + 1 + len(seqs))), f"since {since}"
        return list(range(1, start + 1)) + seqs


@pytest.mark.parametrize("run", range(RUNS))
async def test_everyone_hears_all_of_it_in_order_whatever_the_bus_does(
    open_node: Any, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storm_gateway.hub.hub._IN_FLIGHT_SECONDS", 0)
    for seed in range(run, SEEDS, RUNS):
        dice = random.Random(seed)
        bus = LossyBus(dice)
        node = await open_node(
            bus=bus,
            recent_events=dice.choice([0, 2, 256]),
            fanout_writes=dice.choice([1, 3, 512]),
        )
        story = Story(node, bus, dice)
        await story.come()
        await story.happen(30)
        for found in story.here + story.gone:
            story.heard(*found)
        await node.hub.compare_heads()
        await node.quiet()
        for found in story.here:
            assert story.heard(*found) == list(range(1, story.total + 1)), f"seed {seed}"
        bus.let_some_go()
        await node.quiet()
        for found in story.here:
            assert len(story.heard(*found)) == story.total, f"seed {seed}"
        assert bus.mishaps or story.total < 10
