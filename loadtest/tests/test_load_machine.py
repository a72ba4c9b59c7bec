"""What a run sets on the machine is said, and put back."""
# ruff: noqa: S101 tests assert

import os
import subprocess
from pathlib import Path

import pytest
from common.paths import PYTHON
from loading.machine import huge_pages, long_slices, prepared


def test_settings_of_the_machine_are_raised_said_and_put_back(tmp_path: Path) -> None:
    values = {
        "net/core/netdev_max_backlog": "1000",
        "net/core/somaxconn": "9000",
        "net/ipv4/ip_local_port_range": "32768\t60999",
    }
    for name, value in values.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    with prepared(100_000, tmp_path) as told:
        assert told == ["net.core.netdev_max_backlog from 1000 to 20000, until the end"]
        assert (tmp_path / "net/core/netdev_max_backlog").read_text() == "20000"
    assert {name: (tmp_path / name).read_text() for name in values} == values
    with prepared(500, tmp_path) as told:
        assert told == []


def test_pages_are_huge_for_as_long_as_it_lasts_where_somebody_chose_otherwise(
    tmp_path: Path,
) -> None:
    setting = tmp_path / "enabled"
    setting.write_text("always [madvise] never\n")
    with huge_pages(setting) as told:
        assert told.startswith("transparent huge pages from madvise to always")
        assert setting.read_text() == "always"
    assert setting.read_text() == "madvise"
    setting.write_text("[always] madvise never\n")
    with huge_pages(setting) as told:
        assert told == ""
    assert setting.read_text() == "[always] madvise never\n"
    with huge_pages(tmp_path / "no such kernel") as told:
        assert told == ""


def test_whoever_may_not_have_huge_pages_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "enabled"
    setting.write_text("always [madvise] never\n")

    def refused(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refused)
    with huge_pages(setting) as told:
        assert told.endswith("would be better while k6 takes its memory (as root)")


def test_with_longer_slices_a_process_and_its_children_are_scheduled_as_batch() -> None:
    asked = (
        "import os, subprocess, sys; from loading.machine import long_slices; "
        "print(long_slices(15), flush=True); "
        "child = 'import os; from loading.machine import slice_of_this as of; "
        "print(os.sched_getscheduler(0), of())'; subprocess.run([sys.executable, '-c', child])"
    )
    done = subprocess.run(  # noqa: S603 our own program
        [PYTHON, "-c", asked],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    told, child = done.stdout.splitlines()
    policy, milliseconds = child.split()
    assert int(policy) == os.SCHED_BATCH
    if float(milliseconds):  # Linux 6.12
        assert told == "everything scheduled as batch, with slices of 15 ms, until the end"
        assert float(milliseconds) == 15
    else:
        assert "this kernel has slices of its own" in told


def test_slices_that_cannot_be_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    with pytest.raises(OSError, match="slices of processor time cannot be set on"):
        long_slices(15)
    with pytest.raises(OSError, match=r"the system takes 0\.1 to 100 ms"):
        long_slices(-1)
