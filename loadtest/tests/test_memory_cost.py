"""What a connection costs is counted where it is: in the processes, and in the kernel."""
# ruff: noqa: S101, S603 tests assert, and start Python

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import bare_sockets
import pytest
from loading.watch import Sample
from swarming.report import cost_table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
SOCKET_BYTES = 2_000
"""Of the kernel, for one end of a connection, and less than that of any Linux of today."""
PROGRAM = Path(bare_sockets.__file__)


def test_the_kernels_memory_grows_with_connections() -> None:
    ran = subprocess.run(
        [sys.executable, PROGRAM, "2000"], capture_output=True, text=True, check=True
    )
    each = int(ran.stdout.split()[0].replace(",", ""))
    assert 2 * SOCKET_BYTES < each < 10 * SOCKET_BYTES, ran.stdout


def test_more_connections_than_files_are_refused() -> None:
    ran = subprocess.run(
        [sys.executable, PROGRAM, "1000000000"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "files may be open" in ran.stderr


def sample(nodes: int, kernel: int) -> Sample:
    return Sample(0.0, {"nodes": nodes, "swarm": 5}, {}, {"nodes": 1.0}, 0, kernel)


def test_the_server_pays_for_its_nodes_and_half_of_the_kernels_two_ends() -> None:
    run = SimpleNamespace(
        options=SimpleNamespace(connections=1_000),
        watch=SimpleNamespace(
            samples=[
                sample(10_000_000, 50_000_000),
                sample(12_500_000, 57_000_000),
                sample(13_000_000, 56_000_000),
                sample(11_000_000, 51_000_000),
            ]
        ),
        free_before=0,
        free_open=0,
        phases=[],
        returned=None,
    )
    told = cost_table(run)  # type: ignore[arg-type]
    assert "7,000 B for the two ends of a connection" in told
    assert "The server's end, with half of that and the nodes at their most: 6,500 B." in told
