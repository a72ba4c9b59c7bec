"""Families of processes are found, told apart and ended, with and without ``/proc``."""
# ruff: noqa: S603, S607 what is started here is the system's

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack_harness import lives, until

from storm_gateway.stack import processes
from storm_gateway.stack.processes import command_of, family_of, identity_of, kill_family

FOREST = "sleep 611 & (sleep 612 & setsid sh -c 'sleep 613 & wait' & wait) & wait"


@pytest.fixture(params=["proc", "ps"])
def family(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with descendants, one of them in a session of its own."""
    if request.param == "ps":  # as on macOS
        monkeypatch.setattr(processes, "_PROC", Path("/nowhere"))
    with subprocess.Popen(["sh", "-c", FOREST], start_new_session=True) as parent:
        until(lambda: len(sleepers(parent.pid)) == 3, "all have been started")
        yield parent
        kill_family(parent.pid)


def sleepers(pid: int) -> list[int]:
    return [each for each in family_of(pid) if command_of(each).startswith("sleep 61")]


def test_family_has_all_descendants_parents_first(family: subprocess.Popen[bytes]) -> None:
    found = family_of(family.pid)
    assert found[0] == family.pid
    assert len(found) == 6
    assert sorted(map(command_of, sleepers(family.pid))) == ["sleep 611", "sleep 612", "sleep 613"]


def test_killed_family_leaves_nobody(family: subprocess.Popen[bytes]) -> None:
    found = family_of(family.pid)
    kill_family(family.pid)
    assert family.wait() == -signal.SIGKILL
    until(lambda: not [pid for pid in found if lives(pid)], "all have ended")


def test_identity_tells_a_process_from_its_successor(family: subprocess.Popen[bytes]) -> None:
    first = identity_of(family.pid)
    assert first
    assert identity_of(family.pid) == first
    family.kill()
    until(lambda: not identity_of(family.pid), "one that only waits to be counted has ended")
    family.wait()
    assert identity_of(family.pid) == ""
    assert command_of(family.pid) == ""
