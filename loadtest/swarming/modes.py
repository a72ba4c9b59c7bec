"""What a run does once everybody is there."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from common.figures import milliseconds
from common.progress import say

from swarming.run import Phase, Run

_RUN_OUT_SECONDS = 1.0
_LEAST = 5_000.0
"""Deliveries a second with which a search begins."""
_FACTOR = 2.0
_HALVINGS = 4
_IN_TIME = 0.95
"""Share of what is due that has to come within the time itself, for a rate to be well."""


@dataclass(frozen=True)
class Sending:
    """Of the command line."""

    rate: float
    seconds: float
    mix: tuple[float, float, float]
    """To small rooms, rooms, the hall."""
    burst: int = 1
    deliveries: float = 0.0
    p99_ms: float = 1_000.0
    """Above this a rate is too much."""
    step_seconds: float = 5.0
    messages: int = 10
    calm_seconds: float = 2.0


def hold(run: Run, sending: Sending) -> None:
    """Stay, and talk by the clock; a fault of the command line happens meanwhile."""
    run.follow("calm", sending.calm_seconds)
    if run.server.faults is not None:
        run.server.faults.start(time.time(), run.began)

    def begin() -> None:
        if sending.rate:
            run.fleet.send(
                sending.rate, sending.seconds, sending.mix, size=run.options.payload,
                burst=sending.burst,
            )  # fmt: skip

    phase = run.follow("hold", sending.seconds, begin)
    run.settle(phase)
    _say(phase)


def hot(run: Run, sending: Sending) -> None:
    """Bursts into rooms, ever more of them, to the highest rate that is delivered in time."""
    run.follow("calm", sending.calm_seconds)
    if not (rate := sending.deliveries):
        rate = _highest(run, sending)
    if not rate:
        run.faults.append(f"not even {_LEAST:,.0f} deliveries/s were in time")
    elif not _hot_step(run, sending, rate, sending.seconds, "hot"):
        run.faults.append(
            f"{rate:,.0f} deliveries/s did not hold for {sending.seconds:g} s: too few in time, or "
            f"p99 above {sending.p99_ms:g} ms"
        )


def _highest(run: Run, sending: Sending) -> float:
    """Up until it is too much, then halfway a few times; 0 when the least is."""

    def well(rate: float) -> bool:
        return _hot_step(run, sending, rate, sending.step_seconds, f"step {rate:,.0f}")

    best, rate = 0.0, _LEAST
    while well(rate):
        best, rate = rate, rate * _FACTOR
    too_much = rate
    for _ in range(_HALVINGS if best else 0):
        rate = (best + too_much) / 2
        if well(rate):
            best = rate
        else:
            too_much = rate
    return best


def _hot_step(run: Run, sending: Sending, deliveries: float, seconds: float, name: str) -> bool:
    """Whether so many deliveries a second came in time."""
    size = run.options.connections / run.options.profile.rooms
    rate = deliveries / size

    def begin() -> None:
        run.fleet.send(rate, seconds, (0, 1, 0), burst=sending.burst, size=run.options.payload)

    phase = run.follow(name, seconds, begin)
    # In the time itself; those that come later are late, and count into the latencies.
    made = phase.state
    phase.more["deliveries_per_second"] = made["deliveries"] / phase.seconds
    run.settle(phase)
    delivery = phase.state.histograms["delivery"]
    p99 = delivery.ms(0.99)
    # Whole bursts only are due.
    due = phase.state["due"] * size
    well = made["deliveries"] >= _IN_TIME * due and p99 <= sending.p99_ms
    phase.more |= {"due_per_second": deliveries, "in_time": well, "step": name != "hot"}
    say(
        f"{name}: {phase.more['deliveries_per_second']:,.0f} of {deliveries:,.0f} deliveries/s, "
        f"p50 {milliseconds(delivery.ms(0.5))} ms, p99 {milliseconds(p99)} ms, "
        f"{phase.more.get('frames_per_write', 0):.2f} frames per write"
        f"{'' if well else ': too much'}"
    )
    return well


def hall(run: Run, sending: Sending) -> None:
    """One message to everybody, several times: the first and the last delivery of each."""
    run.follow("calm", sending.calm_seconds)
    run.fleet.ask("track on")
    every = 1 / sending.rate
    last = sending.messages * every

    def begin() -> None:
        run.fleet.send(sending.rate, last, (0, 0, 1), size=run.options.payload, senders=1)

    phase = run.follow("hall", last + _RUN_OUT_SECONDS, begin)
    run.settle(phase)
    found = sorted(run.fleet.tracked().items())
    run.fleet.ask("track off")
    rows = [
        {"first_ms": first, "last_ms": last, "deliveries": count}
        for _, (first, last, count) in found
    ]
    phase.more["messages"] = rows
    for name in ("first_ms", "last_ms"):
        phase.more[f"{name}_median"] = median(row[name] for row in rows) if rows else None
    for number, row in enumerate(rows, 1):
        say(
            f"message {number}: first {milliseconds(row['first_ms'])} ms, last "
            f"{milliseconds(row['last_ms'])} ms, {row['deliveries']:,} deliveries"
        )
        if row["deliveries"] != run.options.connections:
            run.faults.append(f"message {number} was delivered {row['deliveries']:,} times")
    if len(rows) != sending.messages:
        run.faults.append(f"{len(rows)} of {sending.messages} messages to the hall came")


def idle(run: Run, sending: Sending) -> None:
    """Only be there: pings, pongs and heartbeats."""
    phase = run.follow("idle", sending.seconds)
    _say(phase)


def _say(phase: Phase) -> None:
    made = phase.state
    times = "; ".join(
        f"{name} p50 {milliseconds(found.ms(0.5))} p95 {milliseconds(found.ms(0.95))} "
        f"p99 {milliseconds(found.ms(0.99))} ms"
        for name, found in made.histograms.items()
        if found.total
    )
    say(
        f"{phase.name}: {made['sent']:,} sent of {made['due']:,} due, {made['acked']:,} acked, "
        f"{made['deliveries']:,} delivered, {made['pings']:,} pings; {times}"
    )


MODES: dict[str, Callable[[Run, Sending], None]] = {
    "hold": hold, "hot": hot, "hall": hall, "idle": idle,
}  # fmt: skip
