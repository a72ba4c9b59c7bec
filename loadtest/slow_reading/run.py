"""One run: everybody reads, some stop, they are closed, they come back."""

import argparse
import asyncio
import random
import time

from common import memory
from common.node import Node
from common.rest import Rest
from common.waiting import until

from slow_reading.conditions import (
    PATIENCE_SECONDS,
    RETURN_SECONDS,
    SAMPLE_SECONDS,
    SENDERS,
    SHARE,
    WARM_SECONDS,
    Scene,
)
from slow_reading.reader import Reader
from slow_reading.result import Result
from slow_reading.senders import send

_CONNECTING_AT_ONCE = 50
_CLOSED = "storm_slow_consumers_closed_total"


class Run:
    """One run of one kind."""

    def __init__(self, node: Node, options: argparse.Namespace, slow: bool) -> None:
        self.node = node
        self.options = options
        self.result = Result(slow)
        self.scene = Scene(node)
        self._slow_at_first = 0.0
        count = options.connections
        every = round(1 / SHARE)
        # The same connections are the slow ones in A, where they read: the same socket options,
        # the same places among the others.
        self.readers = [Reader(self.scene, f"reader-{n}", n % every == 0) for n in range(count)]
        self.slow = [reader for reader in self.readers if reader.slow]

    async def run(self) -> Result:
        result = self.result
        with Rest(self.node.url, self.node.token("owner")) as rest:
            self.scene.channel = rest.make_channel(f"slow-{time.monotonic_ns()}")
            at_first = await asyncio.to_thread(rest.metrics)
            self._slow_at_first = at_first.get(_CLOSED, 0)
            result.slow_commits = -_slow_commits(at_first)
            await self._open_all()
            rate, characters = self.options.rate, self.options.payload
            senders = [
                asyncio.create_task(send(self.scene, n, rate, characters)) for n in range(SENDERS)
            ]
            await asyncio.sleep(WARM_SECONDS)
            result.pss_before = memory.pss(self.node.pid) if self.node.pid else 0
            kernel_before = memory.tcp_memory()
            cpu = memory.cpu_seconds(self.node.pid) if self.node.pid else 0.0
            began = time.monotonic()
            if result.slow:
                for reader in self.slow:
                    if reader.socket is not None:
                        reader.socket.transport.pause_reading()
            self.scene.latencies = result.during
            await self._watch(rest, kernel_before)
            result.window = time.monotonic() - began
            if self.node.pid:
                result.cpu = (memory.cpu_seconds(self.node.pid) - cpu) / result.window
            self.scene.latencies = result.back
            await asyncio.gather(*(self._come_back(reader) for reader in self.slow))
            await asyncio.sleep(max(0.0, began + result.window + RETURN_SECONDS - time.monotonic()))
            self.scene.latencies = None
            self.scene.sending = False
            result.messages = sum(await asyncio.gather(*senders))
            await self._finish(rest)
        return result

    async def _open_all(self) -> None:
        gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)

        async def one(reader: Reader) -> None:
            async with gate:
                await reader.open()

        await asyncio.gather(*(one(reader) for reader in self.readers))
        if not await until(lambda: all(reader.last >= 0 for reader in self.readers), 30):
            raise TimeoutError("not everybody was subscribed within 30 s")

    async def _watch(self, rest: Rest, kernel_before: int) -> None:
        """Sample until the slow ones are closed; in a run without them about as long."""
        result = self.result
        seconds = self.options.seconds if result.slow else self.options.seconds / 2
        last = time.monotonic() + seconds
        while time.monotonic() < last:
            await asyncio.sleep(SAMPLE_SECONDS)
            found = await asyncio.to_thread(self._sample, rest)
            result.kernel_growth = max(result.kernel_growth, memory.tcp_memory() - kernel_before)
            closed = int(found.get(_CLOSED, 0) - self._slow_at_first)
            if closed and not result.closed:
                last = min(last, time.monotonic() + PATIENCE_SECONDS)
            result.closed = closed
            if result.slow and closed >= len(self.slow):
                return

    def _sample(self, rest: Rest) -> dict[str, float]:
        result = self.result
        if self.node.pid:
            growth = memory.pss(self.node.pid) - result.pss_before
            result.pss_growth = max(result.pss_growth, growth)
        result.kernel_send = max(result.kernel_send, memory.send_queues(self.node.port))
        found = rest.metrics()
        result.outbox = max(result.outbox, found.get("storm_outbox_bytes", 0))
        return found

    async def _come_back(self, reader: Reader) -> None:
        """Read on: what the kernel kept, the close, then resume as every client does."""
        if not self.result.slow or reader.socket is None:
            return
        reader.socket.transport.resume_reading()
        try:
            async with asyncio.timeout(RETURN_SECONDS / 2):
                await reader.socket.ended.wait()
        except TimeoutError:
            return  # never closed: counted by its absence
        await asyncio.sleep(random.uniform(0, 0.5))  # noqa: S311 the backoff of the protocol
        await reader.open()
        self.result.resumed += 1

    async def _finish(self, rest: Rest) -> None:
        result = self.result
        head = int((await asyncio.to_thread(rest.get, f"/channels/{self.scene.channel}"))["head"])
        await until(lambda: all(reader.last >= head for reader in self.readers), 15)
        at_last = await asyncio.to_thread(rest.metrics)
        result.closed = int(at_last.get(_CLOSED, 0) - self._slow_at_first)
        result.slow_commits += _slow_commits(at_last)
        result.saw = sum(4001 in reader.closes for reader in self.readers)
        result.lost = sum(reader.lost for reader in self.readers)
        result.repeated = sum(reader.repeated for reader in self.readers)
        result.short = sum(reader.last < head for reader in self.readers)
        result.during.sort()
        result.back.sort()
        for reader in self.readers:
            if reader.socket is not None:
                reader.socket.close()
        await asyncio.sleep(0.5)


def _slow_commits(metrics: dict[str, float]) -> float:
    name = "storm_commit_duration_seconds"
    return metrics.get(f"{name}_count", 0) - metrics.get(f'{name}_bucket{{le="0.1"}}', 0)
