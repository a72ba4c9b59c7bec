"""Durable messages on STORM with SQLite: acks a second, and how long an ack takes."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness.client import LoadClient, load_client
from harness.paths import HERE
from harness.processes import pin
from harness.room import Clock, Plan
from harness.servers import SERVERS, Running, started, storm_python

SENDERS = 100
WINDOWS = (1, 8, 32)
EVERYBODY_WINDOW = 8
# Rows a commit of the loop that is the limit: none together, many, and as many as STORM takes.
GROUPS = (1, 128, 512)
SETTLE_SECONDS = 2.0


def _acknowledged(
    client: LoadClient, server: Running, window: int, seconds: float, listeners: int
) -> dict[str, Any]:
    """One load; every acknowledged message must reach every listener, once."""
    before = client.state()["messages"]
    clock = Clock(server.pid, client.pid)
    answer = client.acks(SENDERS, window, seconds) | clock.read()
    time.sleep(SETTLE_SECONDS)
    received = client.state()["messages"] - before
    if received != answer["acked"] * listeners:
        raise RuntimeError(f"{answer['acked']} acks, but {received} receipts by {listeners}")
    answer["listeners"] = listeners
    answer["per_second"] = answer["acked_in_time"] / answer["seconds"]
    return answer


def _limit(database: Path, messages: int, group: int, plan: Plan, folder: Path) -> dict[str, Any]:
    python = storm_python() or sys.executable
    program = HERE / "harness" / "sqlite_limit.py"
    done = subprocess.run(  # noqa: S603 our own program
        [python, str(program), database, str(messages), str(group), str(plan.seconds), folder],
        preexec_fn=pin(plan.server_cpu),
        start_new_session=True,
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _database(folder: Path) -> Path:
    found = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.open("rb").read(15) == b"SQLite format 3"
    ]
    if not found:
        raise RuntimeError("STORM left no SQLite database in its data folder")
    return max(found, key=lambda path: path.stat().st_size)


def measure_durable(plan: Plan, data: Path) -> dict[str, Any]:
    """All rows about durable messages."""
    result: dict[str, Any] = {}
    messages = 0
    with (
        started(SERVERS["storm"], data, plan.secret, cpu=plan.server_cpu) as server,
        load_client(plan.client_program, server.port, plan.tokens, cpu=plan.client_cpu) as client,
    ):
        # All in one room, as a chat is: every message goes back to every sender.
        client.open(SENDERS)
        client.acks(SENDERS, 1, 0.5)
        time.sleep(SETTLE_SECONDS)  # an ack may come before the others have the message
        everybody = _acknowledged(client, server, EVERYBODY_WINDOW, plan.seconds, SENDERS)
        result[f"everybody_{EVERYBODY_WINDOW}"] = everybody
        messages += everybody["acked"]

        # The store alone: senders that do not listen, and one listener that counts.
        client.close()
        client.open(SENDERS + 1)
        client.say(0, SENDERS, '{"type":"unsubscribe","channel_id":1}')
        time.sleep(SETTLE_SECONDS)
        for window in WINDOWS:
            answer = _acknowledged(client, server, window, plan.seconds, 1)
            result[f"senders_{window}"] = answer
            messages += answer["acked"]
    for group in GROUPS:
        result[f"limit_{group}"] = _limit(_database(data), messages, group, plan, data)
    return result
