"""The one clock of all connections."""

import itertools
import tracemalloc
from collections import Counter

import pytest

from storm_gateway.connections.keepalive import Wheel, portions

PERIODS = [(30, 30), (30, 60), (20, 5), (5, 20), (1, 1), (2, 3), (300, 30), (4, 8)]


def filled(ping: int, heartbeat: int, members: int) -> Wheel[int]:
    """A wheel whose members are their numbers."""
    wheel: Wheel[int] = Wheel(ping, heartbeat)
    for number in range(members):
        wheel.add(number, number)
    return wheel


@pytest.mark.parametrize(("ping", "heartbeat"), PERIODS)
def test_each_member_is_visited_once_a_round(ping: int, heartbeat: int) -> None:
    wheel = filled(ping, heartbeat, 23)
    assert 1 <= wheel.round <= (10 if ping % 10 == heartbeat % 10 == 0 else 5)
    for _ in range(4):
        visited = Counter(member for _ in range(wheel.round) for member in wheel.turn()[0])
        assert visited == Counter(range(23))


@pytest.mark.parametrize(("ping", "heartbeat"), PERIODS)
def test_each_member_is_pinged_once_in_every_ping_period(ping: int, heartbeat: int) -> None:
    wheel = filled(ping, heartbeat, 67)
    pinged: dict[int, list[int]] = {number: [] for number in range(67)}
    beaten: dict[int, list[int]] = {number: [] for number in range(67)}
    for second in range(1, 4 * max(ping, heartbeat) + 1):
        members, round_number = wheel.turn()
        for member in members:
            if wheel.ping_is_due(round_number, member):
                pinged[member].append(second)
            if wheel.heartbeat_is_due(round_number, member):
                beaten[member].append(second)
    for times, period in ((pinged, ping), (beaten, heartbeat)):
        # A period is whole rounds: at most half a round off.
        exact = max(1, round(period / wheel.round)) * wheel.round
        assert abs(exact - period) <= wheel.round / 2
        for member, seconds in times.items():
            assert seconds, f"member {member} was forgotten"
            assert seconds[0] <= exact
            gaps = {later - earlier for earlier, later in itertools.pairwise(seconds)}
            assert gaps <= {exact}, f"member {member}: {seconds}"


@pytest.mark.parametrize("period", [5, 25, 30, 50])
def test_pings_and_heartbeats_are_spread_evenly_over_the_seconds(period: int) -> None:
    wheel = filled(period, period, period * 20)
    pings, heartbeats = [], []
    for _ in range(period):
        members, round_number = wheel.turn()
        pings.append(sum(wheel.ping_is_due(round_number, member) for member in members))
        heartbeats.append(sum(wheel.heartbeat_is_due(round_number, member) for member in members))
    assert pings == heartbeats == [20] * period


def test_who_left_is_not_visited() -> None:
    wheel = filled(30, 30, 20)
    assert len(wheel) == 20
    wheel.discard(7, 7)
    wheel.discard(7, 7)
    wheel.discard(99, 99)
    assert len(wheel) == 19
    assert sorted(wheel.members()) == [number for number in range(20) if number != 7]
    visited = [member for _ in range(wheel.round) for member in wheel.turn()[0]]
    assert sorted(visited) == sorted(wheel.members())


@pytest.mark.parametrize("members", [1, 64, 65, 319, 321, 20_000])
def test_those_of_a_second_come_in_even_portions_within_it(members: int) -> None:
    found = list(portions(list(range(members))))
    assert [member for _, some in found for member in some] == list(range(members))
    moments = [after for after, _ in found]
    assert moments == [number / 5 for number in range(len(found))]
    assert len(found) == min(5, -(-members // 64))
    assert max(len(some) for _, some in found) <= max(64, members / 5 + 1)


def test_nobody_is_no_portion() -> None:
    assert not list(portions([]))


def test_members_may_leave_and_come_while_they_are_visited() -> None:
    wheel = filled(30, 30, 50)
    for _ in range(10):
        for member in wheel.turn()[0]:
            wheel.discard(member, member)
            wheel.add(member + 50, member + 50)
    assert len(wheel) == 50


def test_a_wheel_that_most_have_left_keeps_no_room_for_them_and_loses_nobody() -> None:
    tracemalloc.start()
    wheel = filled(30, 30, 20_000)
    for number in range(20, 20_000):
        wheel.discard(number, number)
    before = tracemalloc.get_traced_memory()[0]
    wheel.fit()
    given_back = before - tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert given_back > 20_000 * 8  # a place in a set is more than a pointer
    assert sorted(wheel.members()) == list(range(20))
