"""The wrong clock, in a real process."""

import os
import subprocess
import sys
import time
from pathlib import Path

from storm_gateway.stack.clock import SkewedClock

TELLS = """
import sys, time
from time import time as taken_by_name
for _ in sys.stdin:
    time.sleep(0.03)
    print(time.time(), time.time_ns() / 1e9, taken_by_name(), time.monotonic(), flush=True)
"""
TOLERANCE_SECONDS = 5.0


def test_a_process_sees_the_shift_at_once_and_its_steps_back(tmp_path: Path) -> None:
    clock = SkewedClock(tmp_path / "clock")
    environment = {**os.environ, **clock.environment}
    with subprocess.Popen(  # noqa: S603 our own program
        [sys.executable, "-c", TELLS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for shift in (0, 600, -600, 86_400, 0):
            clock.shift(shift)
            process.stdin.write("now\n")
            process.stdin.flush()
            *walls, monotonic = map(float, process.stdout.readline().split())
            for wall in walls:
                assert abs(wall - time.time() - shift) < TOLERANCE_SECONDS
            assert abs(monotonic - time.monotonic()) < TOLERANCE_SECONDS
