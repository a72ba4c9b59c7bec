"""The model, against sums done by hand."""

import pytest
from capacity_costs import COSTS, SERVERS

from storm_gateway.capacity import calibration as calibrations
from storm_gateway.capacity.calibration import Calibration
from storm_gateway.capacity.errors import CapacityError
from storm_gateway.capacity.model import (
    copies_of_node,
    delivery_seconds,
    fits_one_processor,
    node_load,
    nodes_for_files,
    nodes_needed,
    process_bytes,
    server_load,
)
from storm_gateway.capacity.storage import WAL_KEPT, storage, traffic
from storm_gateway.capacity.target import Room, Target, make_target


def hall(connections: int, rate: float, **more: float) -> Target:
    rooms = (Room(connections, 1),)
    return make_target(connections=connections, messages_per_second=rate, rooms=rooms, **more)


def test_a_write_that_frames_share_costs_each_of_them_less() -> None:
    # frame + write = 10 µs, frame + write / 16 = 2.5 µs: a write is 8 µs, a frame 2
    assert delivery_seconds(COSTS, 1) == pytest.approx(1e-5)
    assert delivery_seconds(COSTS, 16) == pytest.approx(2.5e-6)
    assert delivery_seconds(COSTS, 4) == pytest.approx(4e-6)


def test_the_load_of_one_node_is_the_sum_of_what_it_does() -> None:
    load = node_load(hall(1_000, 10), COSTS, 1, embedded=True)
    assert load.deliveries == pytest.approx(1_000 * 10 * 1e-5)
    assert load.messages == pytest.approx(10 * 1e-4)
    assert load.commits == pytest.approx(10 * 2e-4)
    assert load.relays == 0
    assert load.idle == pytest.approx(1_000 * 2e-6)
    assert load.returns == pytest.approx(1_000 / 600 * 5e-4)
    assert load.base == pytest.approx(0.01)
    assert load.cores == pytest.approx(0.1 + 0.001 + 0.002 + 0.002 + 1_000 / 600 * 5e-4 + 0.01)


def test_subscriptions_beyond_the_first_cost_time_and_memory() -> None:
    rooms = (Room(100, 10), Room(1_000, 3))
    more = make_target(connections=1_000, messages_per_second=1, rooms=rooms)
    # Four subscriptions each, in 13 channels.
    returns = node_load(more, COSTS, 1, embedded=True).returns
    assert returns == pytest.approx(1_000 / 600 * (5e-4 + 3 * 1e-4))
    held = 1_000 * 2_000 + 3_000 * 500 + 13 * 1_000
    assert process_bytes(more, COSTS, 1, embedded=True) == pytest.approx(100e6 + held)


def test_more_connections_and_messages_never_need_less() -> None:
    sizes = [
        (connections, rate) for connections in (1_000, 20_000, 300_000) for rate in (1, 30, 200)
    ]
    needed = {}
    for connections, rate in sizes:
        small = Room(10, connections // 10)
        target = make_target(
            connections=connections, messages_per_second=rate, rooms=(small,), files_per_node=20_000
        )
        nodes, _ = nodes_needed(target, COSTS)
        needed[connections, rate] = nodes
        assert fits_one_processor(target, COSTS, nodes)
        assert nodes == 1 or not (
            fits_one_processor(target, COSTS, nodes - 1) and nodes_for_files(target) < nodes
        )
    for (connections, rate), nodes in needed.items():
        less = [found for (c, r), found in needed.items() if c <= connections and r <= rate]
        assert nodes == max(less)


def test_many_messages_share_a_commit() -> None:
    load = node_load(hall(10, 10_000), COSTS, 1, embedded=True)
    assert load.commits == pytest.approx(1 / 0.005 * 2e-4)


def test_a_message_reaches_nodes_where_somebody_listens() -> None:
    everywhere = hall(1_000, 10)
    assert copies_of_node(everywhere, 4) == pytest.approx(10)
    pairs = make_target(connections=1_000, messages_per_second=10, rooms=(Room(2, 500),))
    # Both on other nodes: (3/4)² of all pairs.
    assert copies_of_node(pairs, 4) == pytest.approx(10 * (1 - 0.75**2))
    assert copies_of_node(pairs, 1) == pytest.approx(10)


def test_servers_pay_for_copies_commits_and_returns() -> None:
    load = server_load(hall(6_000, 20), COSTS, 2)
    # 10 connections a second come back, when all of them may within 600 seconds.
    assert load.postgres == pytest.approx(20 * 2e-5 + 20 * 1e-3 + 10 * 2e-4)
    assert load.nats == pytest.approx(2 * (20 * 1e-6 + 20 * 1e-5))
    assert load.valkey == pytest.approx(6_000 / 600 * 1e-4)


def test_nodes_are_as_many_as_processor_files_or_memory_ask_for() -> None:
    assert nodes_needed(hall(1_000, 1), COSTS) == (1, "one is enough")
    assert nodes_for_files(hall(100_000, 1, files_per_node=20_000)) == 6
    assert nodes_needed(hall(100_000, 0.1, files_per_node=20_000), COSTS) == (6, "open files")
    count, why = nodes_needed(hall(10_000, 10), COSTS)
    # 100,000 deliveries a second are a core; with headroom two, and something beside them.
    assert (count, why) == (3, "processor")
    count, why = nodes_needed(hall(10_000, 0.1), COSTS, memory_bytes=220e6)
    assert why == "memory"
    assert count == 2


def test_what_no_number_of_nodes_carries_is_told() -> None:
    with pytest.raises(CapacityError, match="smaller rooms"):
        nodes_needed(hall(1_000, 1e6), COSTS)
    with pytest.raises(CapacityError, match="files"):
        nodes_needed(hall(10_000_000, 1, files_per_node=64), COSTS)


def test_rows_bytes_and_traffic_follow_from_the_messages() -> None:
    target = hall(100, 10, busy_hours=10, history_days=10, payload_bytes=160)
    found = storage(target, embedded=False)
    assert found.rows_per_month == 10 * 10 * 3_600 * 30
    assert found.rows == 10 * 10 * 3_600 * 10
    assert found.data_bytes == pytest.approx(found.rows * (440 + 100))
    assert found.disk_bytes == pytest.approx(found.data_bytes * 1.3 + WAL_KEPT)
    sent = traffic(target, COSTS)
    # 1,000 deliveries of 120 + 160 + 52 bytes, 10 acks of 112, 100 idle ones of 200 in 30 s
    assert sent.bytes_per_second == pytest.approx(1_000 * 332 + 10 * 112 + 100 * 200 / 30)


def test_costs_of_servers_that_were_not_measured_are_those_of_reference_stretched() -> None:
    known = calibrations.reference()
    assert known.servers is not None
    values = {name: getattr(COSTS, name) for name in COSTS.__struct_fields__} | {
        "servers": None,
        "message_seconds": known.message_seconds * 2,
        "commit_seconds": known.commit_seconds * 2,
    }
    slow = Calibration(**values)
    servers, measured = calibrations.servers_of(slow)
    assert not measured
    assert servers.relay_seconds == pytest.approx(known.servers.relay_seconds * 2)
    assert servers.node_bytes == known.servers.node_bytes
    wall = known.servers.commit_wall_seconds * COSTS.commit_wall_seconds / known.commit_wall_seconds
    assert servers.commit_wall_seconds == pytest.approx(wall)
    assert calibrations.servers_of(COSTS) == (SERVERS, True)
