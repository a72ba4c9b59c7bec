"""Token buckets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.limits.buckets import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_one_for_each_interval() -> None:
    clock = Clock()
    buckets = Buckets(5 / 60, 3, clock=clock)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(12)
    clock.now += 11.9
    assert buckets.take("a") == pytest.approx(0.1)
    clock.now += 0.1
    assert buckets.take("a") == 0
    assert buckets.take("a") == pytest.approx(12)


def test_waiting_long_saves_no_more_than_the_burst() -> None:
    clock = Clock()
    buckets = Buckets(1, 2, clock=clock)
    buckets.take("a")
    clock.now += 1_000
    assert [buckets.take("a") > 0 for _ in range(3)] == [False, False, True]


def test_keys_do_not_share() -> None:
    buckets = Buckets(1, 1, clock=Clock())
    assert buckets.take("a") == 0
    assert buckets.take("b") == 0
    assert buckets.take("a") > 0


def test_a_flood_of_keys_does_not_grow_the_memory() -> None:
    buckets = Buckets(1, 1, keys=10, clock=Clock())
    for number in range(100):
        buckets.take(str(number))
    assert len(buckets) == 10
    assert buckets.take("99") > 0
    assert buckets.take("0") == 0


@given(
    rate=st.floats(0.01, 1_000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 10), max_size=100),
)
def test_never_more_than_the_rate_and_the_burst(
    rate: float, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    began = clock.now
    buckets = Buckets(rate, burst, clock=clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        taken += buckets.take("a") == 0
    assert taken <= burst + rate * (clock.now - began) + 1e-3
