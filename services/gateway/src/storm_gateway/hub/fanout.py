"""Writes frames to subscribers: joined per feed, a bounded number of writes a turn.

At rest a frame leaves in the loop iteration in which it came. Under load frames gather while the
node is busy, and leave joined: one write costs the kernel the same for one frame as for sixteen.
"""

import asyncio
import time
from collections import deque

from storm_gateway.hub.feed import Feed, Pass
from storm_gateway.observability.metrics import Counts

_SATURATED_SECONDS = 0.0005
"""Frames that come so soon after a turn ended say that the node does nothing but turns."""


class Fanout:
    """The one writer to many connections on this node."""

    def __init__(self, counts: Counts, writes_per_turn: int, coalesce_seconds: float) -> None:
        self._counts = counts
        self._writes_per_turn = writes_per_turn
        self._coalesce_seconds = coalesce_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: deque[Feed] = deque()
        self._scheduled = False
        self._ended = 0.0
        self._busy = 0.0

    def mark(self, feed: Feed) -> None:
        """The feed has frames; they are written soon."""
        if feed.marked:
            return
        feed.marked = True
        self._ready.append(feed)
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        if self._busy > 0.001 and loop.time() - self._ended < _SATURATED_SECONDS:
            loop.call_later(min(self._coalesce_seconds, self._busy), self._turn)
        else:
            loop.call_soon(self._turn)

    def _turn(self) -> None:
        loop = self._loop
        assert loop is not None  # noqa: S101 _schedule set it
        started = loop.time()
        budget = self._writes_per_turn
        ready = self._ready
        while ready and budget > 0:
            feed = ready.popleft()
            running = feed.passing or feed.begin_pass()
            budget -= self._write(feed, running, budget)
            if running.position < len(running.targets):
                ready.append(feed)  # others get their turn before the rest of this one
                continue
            feed.passing = None
            if running.last_seq:
                feed.settled = running.last_seq
            if feed.pending or feed.ephemeral:
                ready.append(feed)
            else:
                feed.marked = False
        self._ended = loop.time()
        self._busy = self._ended - started
        if ready:
            # The loop gets a turn in between: it also has to accept, read and answer.
            loop.call_soon(self._turn)
        else:
            self._scheduled = False

    def _write(self, feed: Feed, running: Pass, budget: int) -> int:
        start = running.position
        targets = (
            running.targets[start : start + budget]
            if start or len(running.targets) > budget
            else running.targets
        )
        running.position = start + len(targets)
        size = len(targets)
        if running.gone:
            # They were subscribers when the pass began; who left since must get nothing more.
            gone = running.gone
            targets = [target for target in targets if target not in gone]
        data, durable, ephemeral = running.data, running.durable, running.ephemeral
        for target in targets:
            target.deliver(data, durable, ephemeral)
        counts = self._counts
        written = len(targets)
        counts.writes += written
        counts.deliveries += written * running.count
        if running.count > 1:
            counts.writes_coalesced += written
        if running.last_seq and written:
            counts.delivery_times.observe(time.perf_counter() - running.since, written)
        return size + 1
