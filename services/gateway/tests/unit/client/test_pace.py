from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.client.pace import Pace

DELAYS = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0, 1), st.floats(0, 1), st.booleans()),
    min_size=1,
    max_size=200,
)


def refused(per_second: float, burst: int, counted_at: list[float]) -> int:
    """How many the server's bucket has no place for."""
    tokens, at, without = float(burst), 0.0, 0
    for now in counted_at:
        tokens = min(burst, tokens + (now - at) * per_second) - 1
        at = now
        without += tokens < -1e-6
    return without


@given(st.floats(1, 100), st.integers(1, 100), DELAYS, st.booleans())
def test_the_servers_own_bucket_never_refuses_what_is_paced_however_late_it_reads(
    per_second: float,
    burst: int,
    commands: list[tuple[float, float, float, bool]],
    all_answered: bool,
) -> None:
    """Without a ref nothing tells when a command is read; where some have none, all are at once."""
    pace = Pace(per_second, burst)
    now = read_at = 0.0
    counted_at: list[float] = []
    answers: dict[str, float] = {}

    def hear(until: float) -> None:
        for ref, at in sorted(answers.items(), key=lambda answer: answer[1]):
            if at <= until:
                del answers[ref]
                pace.answered(ref, at)

    for number, (pause, to_server, back, with_ref) in enumerate(commands):
        now += pause
        hear(now)
        while wait := pace.wait(now):
            now = min(now + wait, *answers.values(), inf)
            hear(now)
        ref = f"{number}" if with_ref or all_answered else None
        pace.wrote(ref, now)
        read_at = max(read_at, now + to_server) if all_answered else now
        counted_at.append(read_at)
        if ref is not None:
            answers[ref] = read_at + back
    assert refused(per_second, burst, counted_at) == 0


def test_a_burst_goes_at_once_and_the_rest_with_the_answers_at_the_rate() -> None:
    pace = Pace(10, 10)
    for number in range(9):
        assert pace.wait(0) == 0
        pace.wrote(f"{number}", 0)
    assert pace.wait(1_000) == inf
    pace.answered("8", 1_000)  # so the eight before it are read too
    waits = []
    for number in range(3):
        waits.append(pace.wait(1_000))
        pace.wrote(f"more {number}", 1_000)
    assert 0.1 < waits[0] < 0.12
    assert waits == pytest.approx([waits[0], waits[0] * 2, waits[0] * 3])


def test_an_answer_that_comes_late_or_twice_frees_nothing_more() -> None:
    pace = Pace(10, 2)
    pace.wrote("a", 0)
    pace.answered("a", 0)
    once = pace.wait(0)
    pace.answered("a", 0)
    pace.answered("never asked", 0)
    assert pace.wait(0) == once


def test_what_has_no_answer_counts_when_it_is_written() -> None:
    pace = Pace(10, 1)
    pace.wrote(None, 5)
    assert 0.1 < pace.wait(5) < 0.12
    assert pace.wait(6) == 0
