"""The checks of the load tests find what they are there to find."""
# ruff: noqa: S101 tests assert

import argparse
import asyncio
import math
from collections.abc import Iterator
from typing import Any

import pytest
from common.figures import median, percentile
from common.node import Node
from common.plot import svg
from common.rest import Rest
from common.sockets import RefusedError, Socket, connect
from common.tokens import mint
from crash_loop import Loop
from slow_reading.conditions import OUTBOX_BYTES, Scene
from slow_reading.reader import Reader
from slow_reading.result import Result, faults_of


def message(seq: int, payload: str, user: str = "sender-0") -> dict[str, Any]:
    return {"id": seq, "seq": seq, "user_id": user, "payload": payload}


@pytest.fixture
async def loop_of_crashes() -> Loop:
    """One in which sender-0 said three things, all acked."""
    node = Node.__new__(Node)  # no process: only the checks are looked at
    found = Loop(node, argparse.Namespace(seed=1, senders=1, ahead=1))
    sender = found.senders[0]
    sender.said = 3
    sender.acked = {f"sender-0 {n}": (n, n) for n in (1, 2, 3)}
    found.history = [message(n, f"sender-0 {n}") for n in (1, 2, 3)]
    found.listener.last = 3
    return found


async def test_a_history_as_it_was_said_is_fine(loop_of_crashes: Loop) -> None:
    loop_of_crashes._check_acked("then")
    loop_of_crashes._check_history(3)
    assert loop_of_crashes.outcome.faults == []


@pytest.mark.parametrize(
    "history",
    [
        [message(1, "sender-0 1"), message(3, "sender-0 3")],
        [message(1, "sender-0 1"), message(2, "sender-0 3"), message(3, "sender-0 2")],
        [*(message(n, f"sender-0 {n}") for n in (1, 2, 3)), message(4, "sender-0 3")],
    ],
    ids=["missing", "out of order", "twice"],
)
async def test_an_acked_message_that_is_not_there_as_acked_is_a_fault(
    loop_of_crashes: Loop, history: list[dict[str, Any]]
) -> None:
    loop_of_crashes.history = history
    loop_of_crashes._check_acked("then")
    loop_of_crashes._check_history(3)
    assert loop_of_crashes.outcome.faults


def event(seq: int) -> bytes:
    return b'{"type":"message","payload":"0000000000000001x","seq":%d,"sent_at":"x"}' % seq


async def test_a_reader_counts_what_is_missing_and_what_comes_twice() -> None:
    scene = Scene(Node.__new__(Node))  # no process: only the counting is looked at
    reader = Reader(scene, "reader-0", slow=False)
    socket = Socket.__new__(Socket)
    reader.on_text(socket, b'{"type":"subscribed","channel_id":1,"head":7}')
    for seq in (8, 9, 9, 12):
        reader.on_text(socket, event(seq))
    assert (reader.last, reader.lost, reader.repeated) == (12, 2, 1)


def result(slow: bool, latency: float, **figures: int) -> Result:
    found = Result(slow, during=[latency] * 100)
    if slow:
        found.closed = found.saw = found.resumed = 100
    for name, value in figures.items():
        setattr(found, name, value)
    return found


def test_slow_readers_pass_when_nobody_suffers() -> None:
    assert faults_of([result(False, 10), result(True, 20)], 100, own=True) == []


@pytest.mark.parametrize(
    "bad",
    [
        result(True, 20.1),
        result(True, 10, lost=1),
        result(True, 10, repeated=1),
        result(True, 10, short=1),
        result(True, 10, closed=99),
        result(True, 10, saw=99),
        result(True, 10, resumed=99),
        result(True, 10, pss_growth=100 * OUTBOX_BYTES + 1),
    ],
    ids=["p99", "lost", "twice", "behind", "not closed", "no 4001", "not back", "memory"],
)
def test_slow_readers_fail_for_each_reason(bad: Result) -> None:
    assert len(faults_of([result(False, 10), bad], 100, own=True)) == 1


def test_percentiles_are_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)) == (
        50,
        99,
        100,
    )
    assert math.isnan(percentile([], 0.5))
    assert median([3, 1, 2]) == 2


def test_the_plot_is_well_formed() -> None:
    from xml.etree import ElementTree

    drawn = ElementTree.fromstring(svg("A & B", "a second", 0.25, [0, 10, 3]))  # noqa: S314 ours
    assert drawn.tag.endswith("svg")


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as started:
        yield started


async def test_the_cheap_client_talks_to_a_real_gateway(node: Node) -> None:
    got: list[bytes] = []
    acked = asyncio.Event()

    def on_text(_socket: Socket, data: bytes) -> None:
        got.append(data)
        if b'"type":"ack"' in data:
            acked.set()

    payload = "ä" * 3_000  # larger than a short frame
    client = await connect(node.host, node.port, "/ws?channel_id=1", node.token("alice"), on_text)
    client.send({"type": "message", "channel_id": 1, "payload": payload, "ref": "a"})
    async with asyncio.timeout(10):
        await acked.wait()
        client.close()
        await client.ended.wait()
    with Rest(node.url, node.token("bob")) as rest:
        assert [m["payload"] for m in rest.history(1)] == [payload]
    assert client.close_code == 1000
    assert got[0].startswith(b'{"type":"hello"')


async def test_a_refused_handshake_is_told(node: Node) -> None:
    with pytest.raises(RefusedError, match="401"):
        await connect(node.host, node.port, "/ws", mint("x" * 32, "eve"), lambda *_: None)
