"""The service levels, and whether a run met them."""

import math
from dataclasses import dataclass

from common.figures import milliseconds

from loading.figures import SLOT_SECONDS, Slot
from loading.result import Result

_AT_LEAST = 0.98
"""Of the messages that the profile asks for: open loop, a load that was not made proves nothing."""


@dataclass(frozen=True)
class Level:
    """One service level: what is wanted, what was found."""

    name: str
    wanted: str
    found: str
    met: bool


def judged(result: Result) -> Slot:
    """What counts for the times: all of the run, but for the windows of faults."""
    if not result.windows:
        return result.figures.total
    whole = Slot()
    for number, slot in result.figures.slots.items():
        begin = number * SLOT_SECONDS
        # A line tells of what was before it: the slot after a window still has some of it.
        in_fault = any(
            window["begin"] < begin + SLOT_SECONDS and begin < window["judged_from"] + SLOT_SECONDS
            for window in result.windows
        )
        if not in_fault:
            whole.add(slot)
    return whole


def levels(result: Result) -> list[Level]:
    """All of them, with what was found."""
    limits, total = result.profile.thresholds, result.figures.total
    times = judged(result)
    found = [
        _time("connect p95", limits.connect_p95_ms, times, "connect"),
        _time("ack p95", limits.ack_p95_ms, times, "ack"),
        _time("delivery p95", limits.delivery_p95_ms, times, "delivery"),
    ]
    good, bad = total.count("good"), total.count("bad")
    share = bad / (good + bad) if good + bad else math.nan
    found.append(
        Level("errors", f"< {limits.errors:.2%}", f"{share:.3%}", met=share < limits.errors)
    )
    found.append(_count("lost", limits.lost, result.lost))
    found.append(_count("doubled", limits.doubled, total.count("doubled")))
    if limits.dropped is not None:
        found.append(_count("dropped", limits.dropped, total.count("dropped")))
    if limits.opened_seconds is not None:
        opened = result.figures.opened_ms
        seconds = math.nan if opened is None else (opened - result.figures.began_ms) / 1000
        found.append(
            Level(
                "everybody in",
                f"≤ {limits.opened_seconds:g} s",
                "never" if opened is None else f"{seconds:.1f} s",
                met=seconds <= limits.opened_seconds,
            )
        )
    return found


def misses(result: Result) -> list[str]:
    """What of the run is not as it should be, in words; empty: it passed."""
    found = [
        f"{level.name}: {level.found}, should be {level.wanted}"
        for level in levels(result)
        if not level.met
    ]
    ended = result.figures.ended + result.slow.ended
    if ended != result.vus:
        found.append(f"{result.vus - ended} of {result.vus} VUs did not come to their end")
    wanted = expected_messages(result)
    sent = result.figures.total.count("sent")
    if sent < _AT_LEAST * wanted - result.vus:
        found.append(f"only {sent:,} messages were sent, should be about {wanted:,.0f}")
    if never := result.figures.total.count("never_in") + result.slow.total.count("never_in"):
        found.append(f"{never} users never came in")
    return found + result.faults


def expected_messages(result: Result) -> float:
    """How many messages the profile makes, on all machines."""
    profile = result.profile
    extra = sum(
        max(0.0, min(spike.at + spike.seconds, profile.hold_seconds) - spike.at)
        * (spike.factor - 1)
        for spike in profile.spikes
    )
    # Merged, it says "all n".
    part = 1 / int(result.share.partition("/")[2] or 1)
    slow = profile.slow.share if profile.behaviour == "slow_readers" else 0.0
    return profile.messages_per_second * (profile.hold_seconds + extra) * part * (1 - slow)


def _time(name: str, limit: float, slot: Slot, which: str) -> Level:
    p95 = slot.time(which).percentile(0.95)
    # NaN, of nothing measured, is below no limit.
    return Level(name, f"< {limit:g} ms", f"{milliseconds(p95)} ms", met=p95 < limit)


def _count(name: str, limit: int, found: int) -> Level:
    return Level(name, f"≤ {limit:,}" if limit else "0", f"{found:,}", met=found <= limit)
