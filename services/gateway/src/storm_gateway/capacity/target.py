"""What shall be carried: connections, channels by size, messages."""

import re

import msgspec

from storm_gateway.capacity.errors import CapacityError

_ROOM = re.compile(r"([0-9_]+)x([0-9_]+)(?::([0-9.]+)%)?")
_EXAMPLE = "say SIZExCOUNT, such as 1000x100, or SIZExCOUNT:SHARE%, such as 1000x100:10%"
DEFAULT_ROOM_SIZE = 10
MESSAGES_OF_A_CONNECTION = 1 / 500
"""Messages a second that each connection writes when nothing else is said."""
_MOST_CONNECTIONS = 100_000_000


class Room(msgspec.Struct, frozen=True):
    """``count`` channels with ``size`` connections in each."""

    size: int
    count: int
    share: float | None = None
    """Of all messages, 0 to 1; None: by the number of connections in these channels."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be carried in the busiest hour, and what with. Made by :func:`make_target`."""

    connections: int
    messages_per_second: float
    rooms: tuple[Room, ...]
    payload_bytes: int = 60
    busy_hours: float = 24.0
    """Hours a day in which so many messages are written."""
    history_days: int = 365
    headroom: float = 2.0
    """Processors and memory of connections are so many times what the model says."""
    frames_per_write: float = 1.0
    """Messages that a connection is given in one write."""
    return_seconds: float = 600.0
    """Time in which everybody may come back after all nodes were away."""
    files_per_node: int = 65_536
    spare_machines: int = 1
    """Machines with nodes that may be away while the others carry everything."""

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of all messages that each kind of room gets; they add up to 1."""
        given = sum(room.share for room in self.rooms if room.share is not None)
        weights = [0 if room.share is not None else room.size * room.count for room in self.rooms]
        total = sum(weights)
        return tuple(
            room.share if room.share is not None else (1 - given) * weight / total
            for room, weight in zip(self.rooms, weights, strict=True)
        )

    @property
    def deliveries_per_second(self) -> float:
        """Messages that arrive at connections; the author's own is one of them."""
        sizes = (room.size * share for room, share in zip(self.rooms, self.shares, strict=True))
        return self.messages_per_second * sum(sizes)

    @property
    def subscriptions(self) -> int:
        """Of all connections together."""
        return sum(room.size * room.count for room in self.rooms)


def parse_room(text: str) -> Room:
    """``1000x100`` or ``1000x100:10%``. Raises :class:`CapacityError`."""
    found = _ROOM.fullmatch(text.strip())
    if found is None:
        raise CapacityError(f"room {text!r}: {_EXAMPLE}")
    try:
        size, count = int(found[1]), int(found[2])
        share = float(found[3]) / 100 if found[3] is not None else None
    except ValueError:
        raise CapacityError(f"room {text!r}: {_EXAMPLE}") from None
    return Room(size, count, share)


def parse_rooms(texts: list[str]) -> tuple[Room, ...]:
    """Options, each with one kind of room or several, comma-separated."""
    return tuple(parse_room(part) for text in texts for part in text.split(","))


def make_target(
    *,
    connections: int,
    messages_per_second: float | None = None,
    rooms: tuple[Room, ...] = (),
    **others: float,
) -> Target:
    """Fill in what was not said, and check everything. Raises :class:`CapacityError`."""
    if not 1 <= connections <= _MOST_CONNECTIONS:
        raise CapacityError(f"connections: say a number from 1 to {_MOST_CONNECTIONS:,}")
    if messages_per_second is None:
        messages_per_second = connections * MESSAGES_OF_A_CONNECTION
    if not rooms:
        size = min(DEFAULT_ROOM_SIZE, connections)
        rooms = (Room(size, -(-connections // size)),)
    target = Target(
        connections=connections,
        messages_per_second=messages_per_second,
        rooms=rooms,
        **others,  # type: ignore[arg-type]
    )
    _check_numbers(target)
    _check_rooms(target)
    return target


def _check_numbers(target: Target) -> None:
    bounds = {
        "messages_per_second": (0, 1e9),
        "payload_bytes": (1, 400_000),
        "busy_hours": (0, 24),
        "history_days": (0, 36_500),
        "headroom": (1, 100),
        "frames_per_write": (1, 64),
        "return_seconds": (1, 86_400),
        "files_per_node": (64, 2**31),
        "spare_machines": (0, 100),
    }
    for name, (least, most) in bounds.items():
        value = getattr(target, name)
        # Also refuses what is no number (NaN).
        if not least <= value <= most:
            words = name.replace("_", " ")
            raise CapacityError(f"{words}: {value:g} is not from {least:,} to {most:,.0f}")


def _check_rooms(target: Target) -> None:
    for room in target.rooms:
        what = f"room {room.size}x{room.count}"
        if room.size < 1 or room.count < 1:
            raise CapacityError(f"{what}: size and count are 1 or more")
        if room.size > target.connections:
            raise CapacityError(
                f"{what}: it has more connections than all together ({target.connections:,})"
            )
        if room.share is not None and not 0 <= room.share <= 1:
            raise CapacityError(f"{what}: its share is from 0 to 100 %")
    given = [room.share for room in target.rooms]
    total = sum(share for share in given if share is not None)
    if total > 1 + 1e-9:
        raise CapacityError(f"rooms: their shares add up to {total:.1%}, more than 100 %")
    if None not in given and abs(total - 1) > 1e-9:
        raise CapacityError(f"rooms: their shares add up to {total:.1%}, not to 100 %")
