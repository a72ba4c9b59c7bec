"""What nodes tell each other of themselves."""

import msgspec
import pytest

from storm_gateway.actions.nodes import EXPIRE_SECONDS, MOST_NODES, REPORT_SECONDS, Nodes
from storm_gateway.bus.base import BusEvent
from storm_gateway.bus.memory import MemoryBus
from storm_gateway.bus.report import REPORTS, NodeReport
from storm_gateway.bus.wire import GarbageError, encode_event, reader_of
from storm_gateway.observability.metrics import Metrics


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def bus() -> MemoryBus:
    bus = MemoryBus()
    await bus.start()
    return bus


@pytest.fixture
async def nodes(bus: MemoryBus, clock: Clock) -> Nodes:
    made = Nodes(bus, Metrics(), "gate-1", "gate-1.abc", clock=clock)
    await made.start()
    return made


async def test_rates_are_of_the_time_since_the_report_before(nodes: Nodes, clock: Clock) -> None:
    counts = nodes._metrics.counts
    nodes.report(ready=True)
    clock.now += 5
    counts.messages, counts.deliveries, counts.active_websockets = 50, 1_000, 7
    nodes.tick(0.25)
    nodes.tick(0.1)
    nodes.report(ready=False)
    (told,) = nodes.all()
    assert (told.messages_per_second, told.deliveries_per_second) == (10, 200)
    assert (told.connections, told.loop_lag_seconds, told.ready) == (7, 0.25, False)
    clock.now += 10
    nodes.report(ready=True)
    (told,) = nodes.all()
    assert (told.messages_per_second, told.loop_lag_seconds, told.ready) == (0, 0, True)


async def test_a_report_is_due_at_once_and_then_every_few_seconds(
    nodes: Nodes, clock: Clock
) -> None:
    due = []
    for _ in range(12):
        due.append(nodes.tick(0))
        clock.now += 1
    assert [second for second, is_due in enumerate(due) if is_due] == [0, 5, 10]
    assert REPORT_SECONDS * 2 < EXPIRE_SECONDS


async def test_reports_expire_and_a_node_that_ends_says_so(nodes: Nodes, clock: Clock) -> None:
    for name in ("b", "a"):
        nodes.on_report(NodeReport(f"{name}.1", name))
    assert [told.node for told in nodes.all()] == ["a", "b"]
    clock.now += EXPIRE_SECONDS - 1
    nodes.on_report(NodeReport("b.1", "b"))
    clock.now += 1
    assert [told.node for told in nodes.all()] == ["b"]
    nodes.on_report(NodeReport("b.1", "b", gone=True))
    assert nodes.all() == []


async def test_no_more_nodes_are_remembered_than_the_bound(nodes: Nodes) -> None:
    for number in range(MOST_NODES + 10):
        nodes.on_report(NodeReport(f"life{number}", "n"))
    assert len(nodes.all()) == MOST_NODES
    assert "life9" not in [told.life for told in nodes.all()]


async def test_leaving_is_told_to_the_others(nodes: Nodes, bus: MemoryBus) -> None:
    heard: list[BusEvent] = []
    await bus.subscribe(REPORTS, heard.append)
    nodes.leave()
    assert heard == [NodeReport("gate-1.abc", "gate-1", gone=True)]


def test_a_report_travels_as_json_that_other_versions_understand() -> None:
    reader, about = reader_of(REPORTS)

    def read(data: bytes) -> BusEvent:
        return reader(about, data)

    told = NodeReport("gate-1.abc", "gate-1", "0.1.0", True, "2026-01-31T12:00:00Z", 3, 4, 0.5)
    assert read(encode_event(told)) == told
    fields = msgspec.json.decode(encode_event(told))
    assert (fields["type"], fields["node"]) == ("report", "gate-1")
    fields["of_a_later_version"] = [1]
    del fields["memory_bytes"]
    assert read(msgspec.json.encode(fields)) == told
    for garbage in (b"", b"{}", b"[]", b'{"type":"report"}', b'{"life":"x"}', b"\xff"):
        with pytest.raises(GarbageError):
            read(garbage)
    long_name = msgspec.json.encode(NodeReport("x" * 300, "n"))
    with pytest.raises(GarbageError):
        read(long_name)
