# ruff: noqa: S603 Python is started
"""Nodes have their memory from jemalloc where the machine has it, and from whom somebody chose."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from storm_gateway.observability.allocator import Allocator, environment, usable
from storm_gateway.stack.workers import WorkersServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="as it is on Linux")
LIBRARY = "libjemalloc.so.2"


def found(allocator: Allocator, inherited: Mapping[str, str]) -> dict[str, str]:
    """On a machine that has it."""
    return environment(allocator, inherited, {"jemalloc": LIBRARY}.get)


def test_all_memory_is_jemallocs_where_the_machine_has_it() -> None:
    assert found("auto", {"PATH": "/bin"}) == {
        "LD_PRELOAD": LIBRARY,
        "PYTHONMALLOC": "malloc",
        "MALLOC_CONF": "narenas:1",
    }


def test_what_jemalloc_was_told_stands() -> None:
    told = "background_thread:true"
    assert found("auto", {"MALLOC_CONF": told})["MALLOC_CONF"] == told


@pytest.mark.parametrize("variable", ["PYTHONMALLOC", "LD_PRELOAD"])
def test_whoever_chose_an_allocator_keeps_it(variable: str) -> None:
    assert found("auto", {variable: "something"}) == {}
    assert found("auto", {variable: ""}) != {}


def test_it_is_pythons_own_where_the_settings_say_so() -> None:
    assert found("python", {}) == {}


def test_it_is_pythons_own_where_there_is_no_jemalloc() -> None:
    assert environment("auto", {}, lambda name: None) == {}


def test_a_library_with_which_no_process_can_begin_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(usable.cache_clear)
    broken = tmp_path / "libjemalloc.so.2"
    broken.write_text("of another processor")
    monkeypatch.setattr("ctypes.util.find_library", lambda name: str(broken))
    usable.cache_clear()
    assert environment("auto", {}) == {}


def test_what_is_found_on_this_machine_can_be_loaded() -> None:
    here = environment("auto", {})
    if not here:
        pytest.skip("jemalloc is not on this machine (Debian: libjemalloc2)")
    maps = "print(open('/proc/self/maps').read())"
    ran = subprocess.run(
        [sys.executable, "-c", maps],
        env={**os.environ, **here},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "jemalloc" in ran.stdout
    assert ran.stderr == ""


@pytest.mark.parametrize("workers", [1, 3])
def test_nodes_of_a_stack_have_theirs_from_it(tmp_path: Path, workers: int) -> None:
    def started(**settings: str) -> dict[str, str]:
        nodes = WorkersServer(tmp_path, workers=workers, addr="127.0.0.1:0", settings=settings)
        return dict(nodes.environment())

    expected = environment("auto", os.environ)
    assert started().items() >= expected.items()
    chosen = started(STORM_ALLOCATOR="python")
    assert {name: chosen[name] for name in expected if name in chosen} == {
        name: os.environ[name] for name in expected if name in os.environ
    }
