"""What ``GET /metrics`` shows."""

import re
from pathlib import Path

import pytest

from storm_gateway.observability.metrics import Metrics, metric_names
from storm_gateway.version import VERSION

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


def samples(metrics: Metrics) -> list[tuple[str, str, str]]:
    """Name, labels, value."""
    found = []
    for line in metrics.exposition().decode().splitlines():
        if not line.startswith("#"):
            sample = SAMPLE.match(line)
            assert sample is not None, line
            found.append((sample[1], sample[2] or "", sample[3]))
    return found


def test_every_sample_carries_the_nodes_name_and_keeps_its_own_labels() -> None:
    metrics = Metrics("gate-1")
    metrics.counts.active_websockets = 3
    metrics.connections_closed.labels("1012").inc()
    metrics.commit_seconds.observe(0.002)
    metrics.build.labels(VERSION).set(1)
    found = samples(metrics)
    assert len(found) > 50
    assert all('node="gate-1"' in labels.split(",") for _, labels, _ in found)
    assert ("storm_active_websockets", 'node="gate-1"', "3.0") in found
    assert ("storm_connections_closed_total", 'code="1012",node="gate-1"', "1.0") in found
    assert ("storm_commit_duration_seconds_bucket", 'le="0.0025",node="gate-1"', "1.0") in found
    assert ("storm_build_info", f'node="gate-1",version="{VERSION}"', "1.0") in found


def test_looking_twice_shows_the_same_and_changes_nothing() -> None:
    metrics = Metrics("gate-1")
    metrics.counts.messages = 7

    def of_ours() -> list[tuple[str, str, str]]:
        # The process itself changes all the time.
        return [sample for sample in samples(metrics) if sample[0].startswith("storm_")]

    assert of_ours() == of_ours()


def test_a_name_with_quotes_and_line_ends_stays_within_its_label() -> None:
    metrics = Metrics('a"b\\c\nd')
    lines = metrics.exposition().decode().splitlines()
    assert 'storm_active_websockets{node="a\\"b\\\\c\\nd"} 0.0' in lines


def test_metrics_keep_their_names_whether_or_not_there_is_a_node() -> None:
    for metrics in (Metrics(), Metrics("gate-1")):
        text = metrics.exposition().decode()
        shown = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
        assert set(metric_names()) <= shown
    assert "storm_active_websockets 0.0" in Metrics().exposition().decode()


def test_the_process_tells_its_memory_and_files_beside() -> None:
    found = {name: float(value) for name, _, value in samples(Metrics("gate-1"))}
    if not Path("/proc/self/stat").exists():
        pytest.skip("this system has no /proc, from which the figures of the process come")
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert 0 < found["process_open_fds"] < found["process_max_fds"]
    assert found["process_cpu_seconds_total"] > 0
    assert not [name for name in metric_names() if name.startswith("process_")]
