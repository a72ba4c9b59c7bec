"""What people ask for is checked, and filled in."""

import pytest

from storm_gateway.capacity.errors import CapacityError
from storm_gateway.capacity.target import Room, make_target, parse_room, parse_rooms


def test_rooms_are_written_as_size_and_count() -> None:
    assert parse_room("1000x100") == Room(1000, 100)
    assert parse_room("10x5:2.5%") == Room(10, 5, 0.025)
    assert parse_rooms(["1000x1,10x5", "2x2"]) == (Room(1000, 1), Room(10, 5), Room(2, 2))


@pytest.mark.parametrize("text", ["", "1000", "x100", "1000x", "10x10:5", "axb", "10x10:1.2.3%"])
def test_what_is_no_room_is_told_with_an_example(text: str) -> None:
    with pytest.raises(CapacityError, match="SIZExCOUNT"):
        parse_room(text)


def test_without_more_there_are_channels_of_ten_and_a_message_for_500_connections() -> None:
    target = make_target(connections=1_005)
    assert target.rooms == (Room(10, 101),)
    assert target.messages_per_second == pytest.approx(2.01)


def test_shares_that_are_not_said_follow_the_connections() -> None:
    rooms = (Room(100, 1, 0.5), Room(10, 10), Room(30, 10))
    target = make_target(connections=1_000, messages_per_second=10, rooms=rooms)
    assert target.shares == pytest.approx((0.5, 0.125, 0.375))
    # 5 messages to 100, 1.25 to 10, 3.75 to 30
    assert target.deliveries_per_second == pytest.approx(500 + 12.5 + 112.5)
    assert target.subscriptions == 100 + 100 + 300


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"connections": 0}, "connections"),
        ({"connections": 10, "rooms": (Room(11, 1),)}, "more connections than all"),
        ({"connections": 10, "rooms": (Room(0, 1),)}, "1 or more"),
        ({"connections": 10, "rooms": (Room(2, 1, 0.6), Room(3, 1, 0.6))}, "more than 100 %"),
        ({"connections": 10, "rooms": (Room(2, 1, 0.6),)}, "not to 100 %"),
        ({"connections": 10, "messages_per_second": -1}, "messages per second"),
        ({"connections": 10, "messages_per_second": float("nan")}, "messages per second"),
        ({"connections": 10, "headroom": 0.5}, "headroom"),
        ({"connections": 10, "payload_bytes": 0}, "payload bytes"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given: dict[str, object], said: str) -> None:
    with pytest.raises(CapacityError, match=said):
        make_target(**given)  # type: ignore[arg-type]
