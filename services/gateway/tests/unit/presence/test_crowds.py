"""Counts of crowded channels are told as often as the node can afford."""

import pytest

from storm_gateway.presence.crowds import TOLD_PER_SECOND, Crowds


def test_a_node_tells_so_many_users_a_second_over_all_channels() -> None:
    crowds = Crowds()
    told = 0
    now = 100.0
    while now < 120:
        while crowds.may_tell(now, now):
            crowds.told(now, 100)
            told += 100
        now += 0.25
    assert TOLD_PER_SECOND * 20 <= told <= TOLD_PER_SECOND * 22


def test_a_node_that_is_late_tells_no_counts_but_not_for_ever() -> None:
    crowds = Crowds(1.0)
    assert crowds.may_tell(100, due=100)
    for now in range(100, 170):
        crowds.beat(now, late=0.2, came=0)
    assert not crowds.may_tell(100, due=100)
    assert not crowds.may_tell(159, due=100)
    assert crowds.may_tell(161, due=100)


def test_nodes_to_which_a_crowd_comes_tell_counts_at_different_moments() -> None:
    told = set()
    for _ in range(20):
        crowds = Crowds()
        crowds.beat(100, late=0.0, came=300)
        for now in range(100, 170):
            crowds.beat(now, late=0.0, came=300)
        told.add(next(now for now in range(100, 170) if crowds.may_tell(now, due=100)))
    assert len(told) > 5
    assert min(told) >= 145
    assert max(told) <= 160


def test_while_a_crowd_comes_names_of_a_channel_are_told_now_and_then() -> None:
    crowds = Crowds()
    crowds.beat(99, late=0.2, came=5)
    assert crowds.may_name(100, due=100), "names do not wait for a node that is late alone"
    for now in range(100, 120):
        crowds.beat(now, late=0.0, came=300)
    assert not crowds.may_name(104, due=100)
    assert crowds.may_name(105, due=100)
    assert crowds.may_name(100, due=0), "what was never told does not wait"


@pytest.mark.parametrize(("late", "came"), [(0.2, 0), (0.0, 300)])
def test_a_node_counts_as_busy_for_some_beats_and_then_no_more(late: float, came: int) -> None:
    crowds = Crowds()
    crowds.beat(99, late=0.01, came=5)
    assert crowds.may_tell(100, due=100)
    crowds.beat(100, late=late, came=came)
    crowds.beat(101, late=0.01, came=5)
    assert not crowds.may_tell(104, due=104)
    assert crowds.may_tell(105, due=105)


def test_names_wait_for_a_crowd_some_beats_longer_and_then_no_more() -> None:
    crowds = Crowds()
    crowds.beat(100, late=0.0, came=300)
    crowds.beat(101, late=0.0, came=5)
    assert not crowds.may_name(104, due=104)
    assert crowds.may_name(105, due=105)
