"""The users for Locust talk to a real gateway, its table has their times, the verdict can be bad.

Locust has an environment of its own, which `make test` installs.
"""
# ruff: noqa: S101 tests assert

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx2
import pytest
from common.node import Node, free_port
from common.paths import PYTHON, REPOSITORY

sys.path.insert(0, str(REPOSITORY / "loadtest" / "locust"))

from ledger import Ledger

SCRIPT = REPOSITORY / "loadtest" / "locust_run.py"
# Whether a machine that runs other tests beside it is fast enough is not the question here.
PATIENT = ["--connect-p95", "20000", "--ack-p95", "20000", "--delivery-p95", "20000"]
LIVELY = [
    "--say-every", "0.5", "--storm-every", "1.5", "--storm-within", "0.5", "--slow-seconds", "0.5",
    "--small-rooms", "2",
]  # fmt: skip
SHORT = ["--headless", "-u", "20", "-r", "100", "-t", "5s", "--only-summary", *LIVELY]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    settings = {"STORM_AUTH_RATE_LIMIT_ENABLED": "false", "STORM_COMMANDS_PER_SECOND": "10000"}
    with Node(settings) as running:
        yield running


def environment(node: Node) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOCUST_", "STORM_"))}
    return {**kept, "STORM_JWT_SECRET": node.secret}


def locust(node: Node, *arguments: str) -> tuple[int, str]:
    """Exit status, and all that it said."""
    done = subprocess.run(  # noqa: S603 our own program
        [PYTHON, SCRIPT, "--url", node.url, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=90,
        env=environment(node),
    )
    return done.returncode, done.stdout


def test_all_behaviours_talk_and_nothing_is_lost(node: Node) -> None:
    code, said = locust(node, *SHORT, *PATIENT)
    assert code == 0, said
    assert "errors 0.000%, lost 0, doubled 0, dropped 0" in said
    for kind in ("connect", "ack", "delivery"):
        for name in ("SteadyChat", "HotRoom", "ReconnectStorm"):
            assert re.search(rf"^{kind} +{name} +[1-9]", said, re.MULTILINE), (kind, name, said)
    # Those who left came back and resumed; those who read slowly got everything, too.
    assert re.search(r"^resume +ReconnectStorm +[1-9]", said, re.MULTILINE), said
    assert re.search(r"^delivery +SlowReader +[1-9]", said, re.MULTILINE), said
    assert node.secret not in said
    assert "eyJ" not in said


def test_a_lost_message_and_a_missed_time_end_with_one(node: Node) -> None:
    levels = [*PATIENT, "--ack-p95", "0.0001", "--skip-one", "--settle", "1"]
    # What a worker finds at its end has to reach the master, which judges.
    port = str(free_port())
    workers = ["--processes", "2", "--master-bind-port", port, "--master-port", port]
    code, said = locust(node, *SHORT, *levels, *workers)
    assert code == 1, said
    assert "missed: lost: 2, should be 0" in said  # one in each process
    assert re.search(r"missed: ack p95: \d+ ms, should be below 0.0001 ms", said)
    assert "missed: connect" not in said


def test_a_wrong_secret_could_not_run_and_says_why(node: Node) -> None:
    wrong = {**environment(node), "STORM_JWT_SECRET": "x" * 64}
    done = subprocess.run(  # noqa: S603 our own program
        [PYTHON, SCRIPT, "--url", node.url, *SHORT],
        capture_output=True, text=True, check=False, timeout=60, env=wrong,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "STORM_JWT_SECRET is not its secret" in done.stderr


def test_the_page_shows_percentiles_and_an_interrupt_leaves_nothing(node: Node) -> None:
    running = subprocess.Popen(  # noqa: S603 our own program
        [PYTHON, SCRIPT, "--url", node.url, *PATIENT, *LIVELY],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(node),
    )  # fmt: skip
    assert running.stdout is not None
    try:
        found = re.search(r"Locust's page: (http://127\.0\.0\.1:\d+)", running.stdout.readline())
        assert found is not None
        with httpx2.Client(base_url=found[1], timeout=10) as page:
            wait_for(page)
            page.post("/swarm", data={"user_count": "10", "spawn_rate": "100"}).raise_for_status()
            until = time.monotonic() + 60
            rows: dict[str, dict[str, object]] = {}
            while not {"connect", "ack", "delivery"} <= rows.keys():
                assert time.monotonic() < until, rows
                time.sleep(0.1)
                told = page.get("/stats/requests").json()
                rows = {row["method"]: row for row in told["stats"]}
            assert all(rows[kind]["response_time_percentile_0.95"] is not None for kind in rows
                       if kind in ("connect", "ack", "delivery"))  # fmt: skip
            for path in ("/", "/stats/requests", "/exceptions"):
                text = page.get(path).text
                assert node.secret not in text
                assert "eyJ" not in text
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=30)[0]
        assert running.returncode == 0, said
        assert "lost 0" in said
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(found[1], timeout=2)
    finally:
        running.kill()
        running.communicate()


def wait_for(page: httpx2.Client) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            page.get("/").raise_for_status()
        except httpx2.ConnectError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


# --- seqs ---


def test_a_hole_is_lost_until_a_resume_fills_it() -> None:
    ledger = Ledger([7])
    ledger.begin(7, 10)
    for seq in (11, 14, 15):
        assert ledger.take(7, seq)
    assert ledger.lost({7: 15}) == 2
    assert ledger.since(7) == 11
    # The resume says what came after the hole once more.
    assert [ledger.take(7, seq) for seq in (12, 13, 14, 15)] == [True, True, False, False]
    assert (ledger.lost({7: 15}), ledger.doubled) == (0, 0)


def test_what_the_store_has_beyond_the_newest_is_lost_and_what_comes_twice_is_doubled() -> None:
    ledger = Ledger([7])
    ledger.begin(7, 10)
    ledger.take(7, 11)
    assert ledger.lost({7: 13}) == 2
    ledger.take(7, 11)
    assert ledger.doubled == 1


def test_what_is_too_old_to_be_replayed_is_excused() -> None:
    ledger = Ledger([7])
    ledger.begin(7, 10)
    ledger.take(7, 20)
    ledger.excuse(7, 18)
    assert ledger.lost({7: 20}) == 1
    assert ledger.since(7) == 18
