"""How long a removed member still hears of a channel: removed on node A, connected to node B."""

import asyncio
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop
from cluster.parts import Rest, cluster, percentiles, token
from cluster.talk import Talker
from harness.progress import say

from storm_gateway.stack.stack import Stack

VICTIMS = 20
RATE = 100
LINGER_SECONDS = 1.0


class _Victim:
    """Invited, subscribed and removed, over and over."""

    def __init__(self, stack: Stack, number: int, channel: int) -> None:
        self.name = f"victim-{number}"
        self._path = f"/channels/{channel}/members"
        self._channel = channel
        self._owner = Rest(stack.nodes[0], token(stack, "owner"))
        self._node = stack.nodes[1]
        self._token = token(stack, self.name)
        self._talker = Talker(self._node, self._token)
        self.since_start: list[float] = []
        self.since_answer: list[float] = []
        self.late: Counter[str] = Counter()

    async def run(self, times: int, pause: float) -> None:
        """Be removed so often."""
        # Who signs in with another back end's token exists from the first request on.
        own = Rest(self._node, self._token)
        await asyncio.to_thread(own.ask, "POST", "/channels/1/join")
        await self._talker.open()
        for _ in range(times):
            await asyncio.to_thread(self._owner.ask, "POST", self._path, {"user_id": self.name})
            await self._talker.subscribe(self._channel)
            last = 0.0
            told = False

            def hear(at: float, text: bytes) -> None:
                nonlocal last, told
                event = json.loads(text)
                if event.get("channel_id") != self._channel or event["type"] == "subscribed":
                    return
                if told:
                    self.late[event["type"]] += 1
                last = at
                told = told or (event["type"] == "member.left" and event["user_id"] == self.name)

            self._talker.hear = hear
            await asyncio.sleep(pause)
            began, answered = await asyncio.to_thread(self._remove)
            await asyncio.sleep(LINGER_SECONDS)
            # From here on it is invited again: what it hears then is no fault.
            self._talker.hear = _ignore
            if not told:
                raise RuntimeError(f"{self.name} was not told within {LINGER_SECONDS} s")
            self.since_start.append((last - began) * 1000)
            self.since_answer.append(max(0.0, last - answered) * 1000)
        self._talker.close()

    def _remove(self) -> tuple[float, float]:
        began = time.monotonic()  # in the thread: waiting for one is no part of it
        self._owner.ask("DELETE", f"{self._path}/{self.name}")
        return began, time.monotonic()


def _ignore(at: float, text: bytes) -> None:
    """Nobody measures now."""


async def _measure(stack: Stack, removals: int) -> dict[str, Any]:
    owner = Rest(stack.nodes[0], token(stack, "owner"))
    made = owner.ask("POST", "/channels", {"name": "revocation", "visibility": "private"})
    channel = int(made["id"])
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(VICTIMS))
    speaker = await Talker(stack.nodes[0], token(stack, "owner")).open()
    victims = [_Victim(stack, number, channel) for number in range(VICTIMS)]

    async def traffic() -> None:
        while True:
            speaker.send(type="message", channel_id=channel, payload="traffic")
            await asyncio.sleep(1 / RATE)

    talking = asyncio.create_task(traffic())
    try:
        async with asyncio.TaskGroup() as group:
            for number, victim in enumerate(victims):
                group.create_task(victim.run(removals // VICTIMS, 0.1 + number * 0.02))
    finally:
        talking.cancel()
        speaker.close()
    return {
        "removals": sum(len(victim.since_start) for victim in victims),
        "since_start_ms": percentiles([ms for victim in victims for ms in victim.since_start]),
        "since_answer_ms": percentiles([ms for victim in victims for ms in victim.since_answer]),
        "events_after_the_end": sum(victim.late.total() for victim in victims),
        "types_after_the_end": dict(sum((victim.late for victim in victims), Counter())),
    }


def measure(removals: int) -> dict[str, Any]:
    """Over a channel with steady traffic."""
    with cluster(2) as stack:
        found = uvloop.run(_measure(stack, removals))
    times = found["since_start_ms"]
    say(
        f"{found['removals']} removals: p50 {times['p50']:.1f} ms, p99 {times['p99']:.1f} ms, "
        f"{found['events_after_the_end']} events came later"
    )
    return found
