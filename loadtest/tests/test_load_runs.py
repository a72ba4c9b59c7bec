"""Whole runs of ``make load``, tiny ones: what they say, judge, leave behind and refuse."""
# ruff: noqa: S101 tests assert

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from common.paths import PYTHON, REPOSITORY
from loading.audit import Audit

SCRIPT = REPOSITORY / "loadtest" / "load.py"
TINY = [
    "--set", "connections=40", "--set", "ramp_seconds=1", "--set", "ramp_falls=0.5",
    "--set", "calm_seconds=1", "--set", "hold_seconds=4", "--set", "messages_per_second=10",
    "--set", "sockets_per_vu=20", "--set", "hall_every_seconds=2",
    "--set", "thresholds.opened_seconds=30",
]  # fmt: skip
# Whether a machine that runs other tests beside it is fast enough is not the question here.
PATIENT = [
    part
    for name in ("connect_p95_ms", "ack_p95_ms", "delivery_p95_ms")
    for part in ("--set", f"thresholds.{name}=20000")
]


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 our own program
        [PYTHON, SCRIPT, "ci", *TINY, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, **env},
    )


def test_a_tiny_run_passes_and_loses_nothing() -> None:
    done = run("--set", "nodes=2", *PATIENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| lost | 0 | 0 | yes |" in done.stdout
    counts = dict(re.findall(r"\| messages (sent|acked) \| (\d+) \|", done.stdout))
    # 10 a second for 4 s, at random moments.
    assert 15 <= int(counts["sent"]) <= 80
    assert counts["acked"] == counts["sent"]
    assert " in, " in done.stdout
    assert (REPOSITORY / "build" / "load" / "ci.md").exists()


def test_users_who_are_members_beforehand_join_nothing_and_the_audit_rides_along() -> None:
    done = run(
        "--set", "nodes=2", "--set", "members=true", "--set", "audit_messages_per_second=5",
        *PATIENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "adding 40 users, members of their channels" in done.stdout
    assert re.search(r"storm audit: \| .* \| passed \| [1-9]\d* \| 0 \| 0 \|", done.stdout), (
        done.stdout
    )
    assert "| lost | 0 | 0 | yes |" in done.stdout


def test_k6_has_all_its_memory_before_the_first_user_comes() -> None:
    bounds = {"GOGC": "off", "GOMEMLIMIT": "600MiB"}
    done = run("--set", "nodes=1", "--set", "memory_ahead=true", *PATIENT, **bounds)
    assert done.returncode == 0, done.stdout + done.stderr
    at_most = re.search(r"\| k6 \| [\d,]+ \| ([\d,]+) \|", done.stdout)
    assert at_most is not None, done.stdout
    assert 500 < int(at_most[1].replace(",", "")) < 700
    assert "| VUs that were there too late" not in done.stdout


def test_an_audit_that_fails_fails_the_run() -> None:
    audit = Audit(["http://127.0.0.1:1"], "", 1, 1)
    try:
        wrong = audit.wait()
    finally:
        audit.stop()
    assert wrong is not None
    assert wrong.startswith("storm audit ended with status 2: storm: the nodes' secret is needed")


def test_an_impossible_service_level_and_a_forgotten_message_fail_the_run() -> None:
    done = run(
        "--set", "nodes=1", "--skip-one", *PATIENT, "--set", "thresholds.ack_p95_ms=0"
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "missed: ack p95" in done.stdout
    assert "missed: lost: 1, should be 0" in done.stdout
    assert "missed: errors" not in done.stdout, done.stdout


def test_what_is_ended_by_a_signal_leaves_nothing_behind(tmp_path: Path) -> None:
    running = subprocess.Popen(  # noqa: S603 our own program
        [PYTHON, SCRIPT, "ci", *TINY, "--set", "nodes=1", "--set", "hold_seconds=60"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert running.stdout is not None
    said = []
    for text in running.stdout:
        said.append(text)
        if "ramp " in text or "hold " in text:
            break
    family = [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and str(tmp_path).encode() in _environment(path)
    ]
    assert len(family) > 3, said
    running.send_signal(signal.SIGINT)
    rest = running.stdout.read()
    assert running.wait(60) == 130, rest
    running.stdout.close()
    assert "nothing is left behind" in rest
    assert list(tmp_path.iterdir()) == []
    until = time.monotonic() + 5
    while left := [pid for pid in family if Path(f"/proc/{pid}/exe").exists()]:
        assert time.monotonic() < until, left
        time.sleep(0.05)


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["huge"], "there is no profile 'huge'; there are 100k"),
        (["ci", "--share", "3/2"], "--share 3/2 should be K/N"),
        (["ci", "--share", "1/2"], "--share needs --url, and --at"),
        (["cluster"], "this profile has no nodes of its own: say --url"),
        (["cluster", "--url", "ftp://x"], "should begin with http:// or https://"),
        (["cluster", "--url", "http://127.0.0.1:1"], "the secret in STORM_JWT_SECRET, or --tokens"),
        (["cluster", "--at", "noon"], "--at noon is no time like"),
        (
            ["100k", "--url", "http://127.0.0.1:1"],
            "members is for a stack of our own, not for --url",
        ),
        (["ci", "--slice", "500"], "--slice 500: the system takes 0.1 to 100 ms"),
    ],
)
def test_what_cannot_run_says_why_and_ends_with_two(arguments: list[str], words: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "STORM_JWT_SECRET"}
    done = subprocess.run(  # noqa: S603 our own program
        [PYTHON, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 2
    assert words in done.stdout
