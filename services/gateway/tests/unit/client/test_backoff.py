from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.client.backoff import Backoff


def test_the_bound_doubles_from_half_a_second_to_thirty() -> None:
    backoff = Backoff(chance=lambda: 1.0)
    assert [backoff.next() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_after_a_reset_it_begins_anew() -> None:
    backoff = Backoff(chance=lambda: 1.0)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == 0.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_the_jitter_is_full_and_never_above_the_bound(chances: list[float]) -> None:
    left = iter(chances)
    backoff = Backoff(chance=lambda: next(left))
    for number, chance in enumerate(chances):
        assert backoff.next() == min(30.0, 0.5 * 2**number) * chance


@given(st.floats(0, 1), st.floats(0, 600))
def test_the_servers_wish_wins(chance: float, wish: float) -> None:
    backoff = Backoff(chance=lambda: chance)
    for _ in range(10):
        assert wish <= backoff.next(wish) <= wish + 0.5
