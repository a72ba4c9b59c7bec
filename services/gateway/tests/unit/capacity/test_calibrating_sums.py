"""What is told apart from what was measured."""

import asyncio
import os

import pytest

from storm_gateway.calibrating import machine
from storm_gateway.calibrating.alone import split_delivery, spread_of
from storm_gateway.calibrating.meter import Meter, can_measure, memory
from storm_gateway.calibrating.size import FULL, Clock, within_files
from storm_gateway.calibrating.talk import split


def test_a_commit_is_what_a_message_alone_costs_beyond_one_among_others() -> None:
    # 100 µs and a commit of 400 µs; together, ten share a commit.
    assert split(500, 140, 0.1) == pytest.approx((100, 400))


def test_noise_makes_no_cost_negative() -> None:
    assert split(100, 140, 0.1) == pytest.approx((140, 0))
    message, _ = split(10_000, 140, 0.5)
    assert message == pytest.approx(14)
    assert split(500, 140, 1) == pytest.approx((140, 0))


def test_a_write_is_what_a_delivery_alone_costs_beyond_one_that_shares_it() -> None:
    # A frame of 2, a write of 8; 16 share one.
    assert split_delivery(10, 1, 2.5, 1 / 16) == pytest.approx((2, 8))
    assert split_delivery(10, 1, 12, 1 / 16) == pytest.approx((12, 1))
    assert split_delivery(10, 0.5, 12, 0.5) == (0, 10)


def test_the_spread_is_that_of_the_middle_half() -> None:
    assert spread_of([1, 10, 11, 12, 100]) == pytest.approx(2 / 11)
    assert spread_of([0, 0, 0]) == 0


def test_the_time_that_is_left_never_falls_below_nothing() -> None:
    assert Clock(0).left == 0
    assert 0 < Clock(60).left <= 60


def test_connections_stay_within_the_files_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda kind: (256, 1_000))
    monkeypatch.setattr("resource.setrlimit", lambda kind, limits: asked.append(limits))
    assert within_files(FULL).connections == 700
    assert asked == [(1_000, 1_000)]


@pytest.mark.skipif(not can_measure(), reason="it reads /proc")
async def test_what_a_process_uses_is_told_without_what_it_uses_at_rest() -> None:
    meter = Meter(us=os.getpid())

    async def work() -> None:
        for _ in range(200):
            sum(range(5_000))
            await asyncio.sleep(0)

    use = await meter.during(work())
    assert 0 < use.cpu["us"] <= use.seconds * 64
    meter.rates = {"us": 1_000.0}
    assert (await meter.during(work())).cpu["us"] == 0
    assert memory(os.getpid()) > memory(os.getpid(), own=True) > 1_000_000


def test_a_machine_has_a_name() -> None:
    assert "core" in machine.name()
    assert machine.load() >= 0
