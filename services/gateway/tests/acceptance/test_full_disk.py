"""A node whose disk is full: green means that messages get through."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from harness import Node

from storm_gateway.stack.disk import SmallDisk, missing

LACK = missing()
pytestmark = pytest.mark.skipif(bool(LACK), reason=LACK)

FULL = {"reasons": ["store: cannot write: the disk is full"]}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk", mebibytes=16)
    disk.mount()
    yield disk
    disk.unmount()


async def test_readiness_follows_the_space_on_the_disk(
    start_node: Callable[..., Awaitable[Node]], disk: SmallDisk
) -> None:
    node = await start_node(data_dir=disk.folder)
    peer = await node.join("alice", "/ws?channel_id=1")
    await peer.say(1, "before")
    assert (await node.call(None, "GET", "/readyz")).status_code == 200
    disk.fill()
    answer = {"type": "ack"}
    for _ in range(1_000):
        answer = await peer.ask("message", channel_id=1, payload="x" * 4_000)
        if answer["type"] == "error":
            break
    assert answer["code"] == "unavailable"
    # Longer than the refused message is remembered: nobody sends any more.
    end = time.monotonic() + 5
    while time.monotonic() < end:
        ready = await node.call(None, "GET", "/readyz")
        assert (ready.status_code, ready.json()) == (503, FULL)
        assert (await node.call(None, "GET", "/healthz")).status_code == 200
        await asyncio.sleep(0.2)
    assert await node.metric("storm_ready") == 0
    assert await node.metric("storm_dependency_up", dependency="store") == 0
    assert await node.metric("storm_dependency_up", dependency="bus") == 1
    disk.empty()
    async with asyncio.timeout(10):
        while (await node.call(None, "GET", "/readyz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await peer.say(1, "after")
    assert await node.metric("storm_ready") == 1
