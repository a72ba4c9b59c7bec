"""The histogram of the hot paths shows what the client library's own would show."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from storm_gateway.observability.times import SECONDS, Times

durations = st.one_of(st.sampled_from(SECONDS), st.floats(0, 30))


def shown(times: Times) -> dict[tuple[str, str], float]:
    """Name and bound → value."""
    family = times.family("storm_x_seconds", "x")
    return {(s.name, s.labels.get("le", "")): s.value for s in family.samples}


@given(st.lists(durations))
def test_buckets_count_and_sum_are_those_of_a_histogram_of_prometheus(took: list[float]) -> None:
    registry = CollectorRegistry()
    reference = Histogram("storm_x_seconds", "x", registry=registry, buckets=SECONDS)
    times = Times()
    for seconds in took:
        reference.observe(seconds)
        times.observe(seconds)
    (family,) = registry.collect()
    expected = {
        (s.name, s.labels.get("le", "")): s.value
        for s in family.samples
        if not s.name.endswith("_created")
    }
    assert shown(times) == expected


def test_something_observed_n_times_counts_n_times() -> None:
    once, often = Times(), Times()
    for _ in range(512):
        once.observe(0.25)
    often.observe(0.25, 512)
    assert shown(once) == shown(often)
    assert shown(often)["storm_x_seconds_bucket", "0.25"] == 512
    assert shown(often)["storm_x_seconds_bucket", "0.1"] == 0
