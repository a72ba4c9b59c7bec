"""``storm capacity`` as people run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def storm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 our own program
        [sys.executable, "-m", "storm_gateway", "capacity", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_it_measures_this_machine_and_reckons_from_that(tmp_path: Path) -> None:
    kept = tmp_path / "costs.json"
    found = storm("--quick", "--connections", "5000", "--save", str(kept), "--json")
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    costs = answer["calibration"]
    assert costs["quick"]
    assert 200 < costs["connection_bytes"] < 50_000
    assert costs["event_bytes"] > 60
    assert 0 < costs["write_seconds"] < 0.01
    assert costs["frame_seconds"] < costs["write_seconds"]
    assert costs["messages_per_second"] > 10
    assert answer["plan"]["nodes"] >= 1
    assert "a node starts" in found.stderr
    # What was kept serves again, at once and without a node.
    again = storm("--calibration", str(kept), "--connections", "5000", "--json")
    assert "a node starts" not in again.stderr
    assert json.loads(again.stdout) == answer


def test_the_answer_says_what_people_ask() -> None:
    found = storm(
        "--reference", "--connections", "100000", "--messages-per-second", "200",
        "--room", "1000x100:10%", "--room", "10x10000:90%", "--budget", "5",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    for said in ("100,000 connections", "nodes", "PostgreSQL", "OVER the budget of 5", "together"):
        assert said in found.stdout, said


def test_the_example_of_prices_can_be_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(storm("--write-prices").stdout)
    found = storm("--reference", "--prices", str(path))
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--room", "many"], "SIZExCOUNT"),
        (["--connections", "0"], "connections"),
        (["--prices", "/nowhere.toml"], "prices cannot be read"),
        (["--calibration", "/nowhere.json"], "calibration cannot be read"),
    ],
)
def test_bad_input_is_told_before_anything_is_measured(arguments: list[str], said: str) -> None:
    found = storm(*arguments)
    assert found.returncode == 1
    assert said in found.stderr
    assert "Traceback" not in found.stderr
    assert "a node starts" not in found.stderr
