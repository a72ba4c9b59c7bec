from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.client.pace import Pace


@given(st.floats(1, 100), st.integers(1, 100), st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_the_servers_own_bucket_never_refuses_what_is_paced(
    per_second: float, burst: int, pauses: list[float]
) -> None:
    now = 0.0
    pace = Pace(per_second, burst, now)
    tokens, at = float(burst), now
    for pause in pauses:
        now += pause
        now += pace.take(now)
        tokens = min(burst, tokens + (now - at) * per_second) - 1
        at = now
        assert tokens >= -1e-6


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    pace = Pace(10, 10, 0)
    waits = [pace.take(0) for _ in range(11)]
    assert waits[:9] == [0] * 9
    assert 0 < waits[9] < waits[10] < 0.3
