"""Which Python makes the environment: scripts/python.sh."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "python.sh"


def choose(*pythons: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        ["/bin/sh", SCRIPT, *map(str, pythons)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def python_that_says(folder: Path, name: str, words: str, status: int = 0) -> Path:
    """One that takes as long as it says."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{words}'\nexit {status}\n")
    path.chmod(0o755)
    return path


def test_the_first_that_is_nearly_as_fast_as_the_fastest_is_taken(tmp_path: Path) -> None:
    usual = python_that_says(tmp_path, "usual", "1140 /a path/usual")
    fastest = python_that_says(tmp_path, "fastest", "1000 /fastest")
    assert choose(usual, fastest).stdout == "/a path/usual\n"


def test_one_that_takes_much_longer_than_another_is_passed_over(tmp_path: Path) -> None:
    slow = python_that_says(tmp_path, "slow", "1160 /slow")
    fast = python_that_says(tmp_path, "fast", "1000 /fast")
    assert choose(slow, fast).stdout == "/fast\n"
    assert choose(slow).stdout == "/slow\n"


def test_a_real_one_is_measured_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    old = python_that_says(tmp_path, "old", "", 1)
    # Whoever needs a second for a thousandth of one.
    slowest = python_that_says(tmp_path, "slowest", "1000000 /slowest")
    done = choose("python-that-is-not-there", old, slowest, sys.executable)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).samefile(sys.executable)


def test_without_any_it_says_what_is_needed_and_how_to_name_one(tmp_path: Path) -> None:
    old = python_that_says(tmp_path, "old", "", 1)
    done = choose(old)
    assert done.returncode == 1
    assert not done.stdout
    assert "Python 3.11 or newer" in done.stderr
    assert "make PYTHON=/path/to/python" in done.stderr
