"""A node shares full processors in larger turns, unless it is told otherwise."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from storm_gateway.observability.scheduling import schedule

pytestmark = pytest.mark.skipif(
    not hasattr(os, "SCHED_BATCH"), reason="this system has no such policy"
)


@pytest.fixture(autouse=True)
def policy() -> Iterator[None]:
    """What a test sets is gone after it. It is of a thread, and so is this."""
    before = os.sched_getscheduler(0)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    yield
    os.sched_setscheduler(0, before, os.sched_param(0))


def test_batch_is_set_for_the_process_and_for_threads_that_it_starts() -> None:
    assert schedule("batch")
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
    thread.start()
    thread.join()
    assert [os.sched_getscheduler(0), *found] == [os.SCHED_BATCH, os.SCHED_BATCH]


def test_normal_changes_nothing() -> None:
    assert not schedule("normal")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_whoever_chose_another_policy_keeps_it() -> None:
    # In a process of its own: there is no way back from it without privileges.
    code = (
        "import os\n"
        "from storm_gateway.observability.scheduling import schedule\n"
        "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
        "print(schedule('batch'), os.sched_getscheduler(0) == os.SCHED_IDLE)\n"
    )
    done = subprocess.run(  # noqa: S603 our own
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


def test_a_sandbox_that_forbids_it_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not schedule("batch")
    monkeypatch.undo()


def test_a_system_without_it_runs_as_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "SCHED_BATCH")
    assert not schedule("batch")
