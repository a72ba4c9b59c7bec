"""Clients of a store that try again until they are acknowledged, and what must hold after them."""

import asyncio
import time
from typing import Any

from store_harness import GENERAL, Harness

from storm_gateway.errors import UnavailableError
from storm_gateway.protocol.events import MessageEvent


class Senders:
    """Clients of one store, each with one message under way, trying again until acknowledged."""

    def __init__(self, harness: Harness, name: str, count: int, channels: list[int]) -> None:
        self.harness = harness
        self.acked: dict[str, tuple[int, int, int]] = {}
        self.refused: list[UnavailableError] = []
        self.slowest = 0.0
        self.last_refusal = self.first_ack_after = 0.0
        self._go_on = True
        self._tasks = [
            asyncio.create_task(self._send(f"{name}-{number}", channels)) for number in range(count)
        ]

    async def _send(self, user_id: str, channels: list[int]) -> None:
        number = 0
        while self._go_on:
            number += 1
            ref = f"{user_id}-{number}"
            channel_id = channels[number % len(channels)]
            while self._go_on:
                started = time.monotonic()
                try:
                    result = await self.harness.append(channel_id, user_id, ref, ref)
                except UnavailableError as refusal:
                    self.refused.append(refusal)
                    self.last_refusal = time.monotonic()
                    self.first_ack_after = 0
                    self.slowest = max(self.slowest, time.monotonic() - started)
                    await asyncio.sleep(0.05)
                    continue
                self.slowest = max(self.slowest, time.monotonic() - started)
                self.first_ack_after = self.first_ack_after or time.monotonic()
                assert ref not in self.acked
                self.acked[ref] = (channel_id, result.event.seq, result.event.id)
                break

    async def stop(self) -> None:
        self._go_on = False
        await asyncio.gather(*self._tasks)


async def check(harness: Harness, acked: dict[str, tuple[int, int, int]]) -> None:
    """All that was acknowledged is stored, where it was said, once; the logs have no holes."""
    stored: dict[str, tuple[int, int, int]] = {}
    for channel_id in {GENERAL, *(channel_id for channel_id, _, _ in acked.values())}:
        for event in await harness.log(channel_id):
            if isinstance(event, MessageEvent):
                assert event.payload not in stored
                stored[event.payload] = (channel_id, event.seq, event.id)
    assert {ref: stored.get(ref) for ref in acked} == acked


async def until(condition: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 what is waited for is no event of ours
            await asyncio.sleep(0.01)
