"""How long things took: without any ack, until repaired, until clients were back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import floor

from storm_gateway.audit.client import Return
from storm_gateway.audit.ledger import ACKED, Ledger
from storm_gateway.audit.timeline import Fault

_AFTERMATH_SECONDS = 5.0
"""After a fault its consequences still show in latencies."""


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values; 0 when there are none."""
    if not values:
        return 0.0
    return values[min(len(values) - 1, int(share * len(values)))]


@dataclass(slots=True)
class Spread:
    """A distribution in few figures, seconds."""

    count: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    most: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Of any values."""
        found = sorted(values)
        if not found:
            return cls()
        p50, p95, p99 = (percentile(found, share) for share in (0.5, 0.95, 0.99))
        return cls(len(found), p50, p95, p99, found[-1])


@dataclass(slots=True)
class Repair:
    """How a fault ended for those who receive."""

    fault: Fault
    late: Spread = field(default_factory=Spread)
    """Seconds after the fault's end at which deliveries came of what had been acknowledged by
    then; 0 for those that came while it lasted. Time in which another fault lasted does not count.
    """
    share_in_time: float = 1.0
    """Of those deliveries, the part that came within the target after the fault's end."""
    back: Spread = field(default_factory=Spread)
    """Seconds until clients were connected and subscribed again: since the fault's begin for the
    clients of a node that was the victim, else since they lost their connection.
    """


@dataclass(slots=True)
class Silence:
    """The longest time without any ack."""

    seconds: float = 0.0
    begin: float = 0.0


def silence(ledger: Ledger, begin: float, end: float, channel: int | None = None) -> Silence:
    """The longest time between two acks (of one channel), from the first send to the last."""
    acks = sorted(
        at
        for number, at in enumerate(ledger.acked_at)
        if ledger.state[number] == ACKED
        and begin <= at <= end
        and (channel is None or ledger.channel[number] == channel)
    )
    longest, last = Silence(0.0, begin), begin
    for at in [*acks, end]:
        if at - last > longest.seconds:
            longest = Silence(at - last, last)
        last = at
    return longest


def repairs(
    ledger: Ledger, faults: Sequence[Fault], returns: Sequence[Return], in_time: float
) -> list[Repair]:
    """For each fault: how late deliveries were after its end, and when clients were back."""
    late: list[list[float]] = [[] for _ in faults]
    ends = [fault.end if fault.end is not None else fault.begin for fault in faults]
    first = min((fault.begin for fault in faults), default=float("inf"))
    seen: set[int] = set()
    for place, received_at in enumerate(ledger.received_at):
        number = ledger.number[place]
        if received_at < first or number < 0 or ledger.state[number] != ACKED:
            continue
        key = ledger.stream[place] << 53 | ledger.seq[place]  # one integer: there are millions
        if key in seen:
            continue
        seen.add(key)
        for index, fault in enumerate(faults):
            if received_at >= fault.begin and ledger.acked_at[number] <= ends[index]:
                late[index].append(_late(received_at, ends[index], fault, faults))
    found = []
    for index, fault in enumerate(faults):
        counted = late[index]
        share = sum(value <= in_time for value in counted) / len(counted) if counted else 1.0
        found.append(Repair(fault, Spread.of(counted), share, _back(fault, returns)))
    return found


def _late(received_at: float, end: float, fault: Fault, faults: Sequence[Fault]) -> float:
    """Seconds since the fault's end, without those in which the next fault already lasted."""
    late = received_at - end
    for other in faults:
        if other is not fault and late > 0:
            until = received_at if other.end is None else min(received_at, other.end)
            late -= max(0.0, until - max(end, other.begin))
    return max(0.0, late)


def _back(fault: Fault, returns: Sequence[Return]) -> Spread:
    return Spread.of(
        each.back_at - (fault.begin if fault.node else each.lost_at)
        for each in returns
        if fault.covers(each.lost_at) and fault.node in ("", each.node)
    )


@dataclass(slots=True)
class Latencies:
    """Of messages sent while nothing was broken, seconds after the attempt."""

    acks: Spread
    deliveries: Spread


def latencies(ledger: Ledger, faults: Sequence[Fault]) -> Latencies:
    """While nothing was broken, and had not been for some seconds."""

    def calm(at: float) -> bool:
        return not any(
            fault.begin <= at and (fault.end is None or at <= fault.end + _AFTERMATH_SECONDS)
            for fault in faults
        )

    is_calm = [calm(at) for at in ledger.tried_at]
    acks = (
        ledger.acked_at[number] - ledger.tried_at[number]
        for number in range(ledger.attempts)
        if is_calm[number] and ledger.state[number] == ACKED
    )
    deliveries = (
        ledger.received_at[place] - ledger.tried_at[number]
        for place, number in enumerate(ledger.number)
        if number >= 0 and is_calm[number]
    )
    return Latencies(Spread.of(acks), Spread.of(deliveries))


def per_second(times: Iterable[float], begin: float, end: float, step: float) -> list[float]:
    """Events a second in each step from ``begin`` to ``end``."""
    counts = [0] * max(1, int((end - begin) / step + 0.999))
    for at in times:
        place = floor((at - begin) / step)
        if 0 <= place < len(counts):
            counts[place] += 1
    return [count / step for count in counts]
