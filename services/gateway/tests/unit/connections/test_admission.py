"""Who may come in: every bound, and that leaving gives its place back."""

import resource
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from storm_gateway.config import Config
from storm_gateway.connections.admission import Admission, connection_limit, raise_file_limit
from storm_gateway.protocol.handshake import RefusedHandshake


def admission(**settings: Any) -> Admission:
    """One without bounds but those that are given."""
    unbounded = {
        "max_connections_per_user": 0,
        "max_connections_per_address": 0,
        "handshakes_per_second": 0,
    }
    return Admission(Config(**(unbounded | settings)))


def refusal(ask: Any, *arguments: object) -> RefusedHandshake:
    with pytest.raises(RefusedHandshake) as refused:
        ask(*arguments)
    assert refused.value.retry_after > 0, "a client must know when to come back"
    return refused.value


def test_a_full_node_refuses_until_somebody_leaves() -> None:
    door = admission(max_connections=2)
    for _ in range(2):
        door.check_node(0)
        door.enter("10.0.0.1")
    refused = refusal(door.check_node, 0)
    assert (refused.status, refused.code) == (503, "unavailable")
    door.leave("10.0.0.1")
    door.check_node(0)


def test_a_user_may_have_so_many_connections_and_no_more() -> None:
    door = admission(max_connections_per_user=2)
    for here in range(2):
        door.check_user(here)
    for here in (2, 3):
        refused = refusal(door.check_user, here)
        assert (refused.status, refused.code) == (503, "limit_reached")


def test_an_address_may_have_so_many_connections_and_no_more() -> None:
    door = admission(max_connections_per_address=2)
    for _ in range(2):
        door.check_address("10.0.0.1")
        door.enter("10.0.0.1")
    refused = refusal(door.check_address, "10.0.0.1")
    assert (refused.status, refused.code) == (503, "limit_reached")
    door.check_address("10.0.0.2")
    door.leave("10.0.0.1")
    door.check_address("10.0.0.1")


def test_without_bounds_nobody_is_refused_for_being_many() -> None:
    door = admission()
    for here in range(500):
        door.check_node(0)
        door.check_address("10.0.0.1")
        door.check_user(here)
        door.enter("10.0.0.1")
    assert door.total == 500


def test_a_draining_node_lets_nobody_in() -> None:
    door = admission()
    door.check_node(0)
    door.draining = True
    refused = refusal(door.check_node, 0)
    assert (refused.status, refused.code) == (503, "unavailable")


def test_handshakes_a_second_are_bounded_and_come_back_with_time() -> None:
    door = admission(handshakes_per_second=10)
    now = 1_000.0
    for _ in range(10):
        door.check_node(now)
    refused = refusal(door.check_node, now)
    assert (refused.status, refused.code) == (503, "unavailable")
    refusal(door.check_node, now + 0.05)
    door.check_node(now + 0.11)
    refusal(door.check_node, now + 0.12)
    # A long silence saves no more than one second's worth.
    for _ in range(10):
        door.check_node(now + 3_600)
    refusal(door.check_node, now + 3_600)


def test_a_refused_handshake_takes_nothing_from_the_next_second() -> None:
    door = admission(handshakes_per_second=5)
    for _ in range(5):
        door.check_node(100)
    for _ in range(1_000):
        refusal(door.check_node, 100)
    for _ in range(5):
        door.check_node(101)


def test_all_places_are_given_back() -> None:
    door = admission(max_connections_per_address=50)
    addresses = [f"10.0.0.{n % 5}" for n in range(100)]
    for address in addresses:
        door.enter(address)
    for address in reversed(addresses):
        door.leave(address)
    assert door.total == 0
    # Nothing is remembered of who is gone: strangers cannot fill the memory.
    assert not door._addresses


# --- the file limit ---


@pytest.fixture
def files() -> Iterator[tuple[int, int]]:
    """The file limit of this process, put back after the test."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_connections_stay_below_the_file_limit(files: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_000, files[1]))
    assert connection_limit(0) == 900
    assert connection_limit(100_000) == 900
    assert connection_limit(50) == 50
    assert admission(max_connections=100_000).limit == 900


def test_the_file_limit_is_raised_to_what_is_allowed(files: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_000, files[1]))
    assert raise_file_limit() == files[1]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (files[1], files[1])
    assert raise_file_limit() == files[1]


def test_an_address_is_kept_only_where_addresses_are_counted() -> None:
    assert admission().needed("10.0.0.1") == ""
    assert admission(max_connections_per_address=1).needed("10.0.0.1") == "10.0.0.1"


def test_a_door_that_most_have_left_by_keeps_no_room_for_them_and_goes_on_counting() -> None:
    addresses = [f"10.0.{number // 250}.{number % 250}" for number in range(20_000)]
    tracemalloc.start()
    door = admission(max_connections_per_address=1)
    for address in addresses:
        door.enter(address)
    for address in addresses[1:]:
        door.leave(address)
    before = tracemalloc.get_traced_memory()[0]
    door.fit()
    given_back = before - tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert given_back > 20_000 * 16  # key and value
    refusal(door.check_address, addresses[0])
