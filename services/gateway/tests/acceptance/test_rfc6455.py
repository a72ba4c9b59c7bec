# ruff: noqa: S603 what is started here stands in the repository or beside its Python
"""RFC 6455: Autobahn's cases against STORM's own engine, on both event loops."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
"""Frames, pings, reserved bits, opcodes, fragments, UTF-8, closes, auto fragments. Not 9 (speed)
and not 12 and 13 (compression, which is never negotiated)."""
AT_LEAST = 247
"""How many cases those are: a suite that runs fewer proves less."""

PASSED = re.compile(r"^(\d+) cases passed$", re.MULTILINE)


@pytest.fixture(params=["asyncio", "uvloop"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The echo listener in a process of its own, on one loop."""
    command = [sys.executable, str(Path(__file__).with_name("echo.py")), "--loop", request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as echo:
        assert echo.stdout is not None
        try:
            line = echo.stdout.readline()  # ends when the process does
            assert line.strip().isdigit(), f"the echo listener printed {line!r}"
            yield int(line)
            assert echo.poll() is None, "the echo listener died"
        finally:
            echo.terminate()


def test_every_case_passes(port: int, tmp_path: Path) -> None:
    kosoku = Path(sys.executable).with_name("kosoku")
    chosen = [word for case in CASES for word in ("-i", case)]
    ran = subprocess.run(
        [str(kosoku), *chosen, "-p", "4", "-o", str(tmp_path), f"127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    said = ran.stdout + ran.stderr
    failures = [line.strip() for line in said.splitlines() if "behavior=" in line]
    assert not failures, "\n".join(failures)
    passed = PASSED.search(said)
    assert ran.returncode == 0, said
    assert passed is not None, said
    assert int(passed[1]) >= AT_LEAST, said
