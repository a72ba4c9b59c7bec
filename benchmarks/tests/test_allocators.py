"""The benchmark of allocators compares nodes that really have them."""
# ruff: noqa: S101 tests assert

import os
import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import allocators
import pytest
from harness.client import LoadClient
from harness.servers import SERVERS, Running, started

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)
FOUND = allocators.environments()


@pytest.mark.parametrize("name", [allocators.OWN, allocators.C_LIBRARY, *allocators.OTHERS])
def test_a_node_has_the_allocator_of_its_row(name: str, tmp_path: Path) -> None:
    if name not in FOUND:
        pytest.skip(f"{name} is not on this machine")
    server = replace(SERVERS["storm"], start=partial(allocators.start_with, FOUND[name]))
    with started(server, tmp_path, "s" * 32, cpu=min(os.sched_getaffinity(0))) as process:
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        environment = Path(f"/proc/{process.pid}/environ").read_text()
    for other in allocators.OTHERS:
        assert (f"lib{other}" in maps) == (other == name)
    assert ("PYTHONMALLOC=malloc" in environment) == (name != allocators.OWN)


def test_each_is_asked_for_the_same_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("harness.session.WORK", tmp_path)
    for setting, value in (("RUNS", 2), ("SECONDS", 0.2), ("CAME_SECONDS", 0), ("LEFT_SECONDS", 0)):
        monkeypatch.setattr(allocators, setting, value)
    first_two = dict(list(FOUND.items())[:2])
    monkeypatch.setattr(allocators, "environments", lambda: first_two)
    monkeypatch.setattr(allocators, "alone", nullcontext)
    nodes = allocators.measure(300)
    assert list(nodes) == list(first_two)
    for node in nodes.values():
        assert node.full > node.empty > 0
        for figures in (node.join, node.delivery, node.message):
            assert len(figures) == 2
            assert min(figures) >= 0
        assert max(node.message) > 0


def node(empty: int, full: int, left: int, *work: list[float]) -> Any:
    made = allocators.Node(
        cast("Running", SimpleNamespace()), cast("LoadClient", SimpleNamespace()), 1_000, empty
    )
    made.full, made.left = full, left
    made.join, made.delivery, made.message = work
    return made


def test_the_table_has_medians_and_multiples_of_pythons_own() -> None:
    mib = 2**20
    nodes = {
        allocators.OWN: node(80 * mib, 84 * mib, 82 * mib, [100, 900, 120], [8], [200]),
        "other": node(90 * mib, 93 * mib, int(90.5 * mib), [60], [8, 9, 10], [300]),
    }
    _, own, other = allocators.table(nodes).splitlines()
    assert own.split("  ")[0] == allocators.OWN
    assert "4,194 B" in own
    assert "50%" in own
    assert "120.00 µs 1.00x" in own
    assert "3,146 B" in other
    assert "83%" in other
    for expected in ("60.00 µs 0.50x", "9.00 µs 1.12x", "300.00 µs 1.50x"):
        assert expected in other
