"""Servers of several tests at one time do not meet."""
# ruff: noqa: S101, S603 tests assert, and start Python

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from harness import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
LOOK = "from harness.processes import free_port; print(free_port())"
HARNESS = str(Path(processes.__file__).parent.parent)


def test_processes_that_look_at_one_time_take_ports_of_their_own() -> None:
    looking = [
        subprocess.Popen(
            [sys.executable, "-c", LOOK], cwd=HARNESS, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    found = [process.communicate()[0] for process in looking]
    assert len(set(found)) == 4


def test_a_port_on_which_somebody_listens_is_not_free() -> None:
    port = processes.free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert processes.free_port() != port
