"""Durable loads: acks are matched by ref, and the limit writes what STORM wrote."""
# ruff: noqa: S101 tests assert

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from harness import prepare, sqlite_limit
from harness.client import load_client
from harness.tokens import write_tokens
from small_server import serving
from websockets.asyncio.server import ServerConnection, broadcast

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)


@contextmanager
def acking_server() -> Iterator[tuple[int, set[str]]]:
    """Acknowledges and sends to everybody what it gets. Yields its port and the refs it saw."""
    refs: set[str] = set()
    everybody: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        everybody.add(connection)
        await connection.send('{"type":"subscribed","channel_id":1,"head":0}')
        async for text in connection:
            command = json.loads(text)
            refs.add(command["ref"])
            broadcast(everybody, '{"type":"message","channel_id":1}')
            await connection.send(f'{{"type":"ack","ref":"{command["ref"]}","id":1}}')

    with serving(handle) as port:
        yield port, refs


@pytest.fixture
def program_and_tokens(tmp_path: Path) -> tuple[Path, Path]:
    write_tokens(tmp_path / "tokens", "s" * 32, 6)
    return prepare.load_client(tmp_path), tmp_path / "tokens"


def test_every_message_has_a_ref_of_its_own_and_an_ack(
    program_and_tokens: tuple[Path, Path],
) -> None:
    cpu = min(os.sched_getaffinity(0))
    with (
        acking_server() as (port, refs),
        load_client(program_and_tokens[0], port, program_and_tokens[1], cpu=cpu) as client,
    ):
        client.open(6)
        answers = [client.acks(5, window, 0.3) for window in (1, 4)]
        assert len(refs) == sum(answer["acked"] for answer in answers)
        assert client.state()["messages"] == 6 * len(refs)
    for answer in answers:
        assert answer["acked"] >= answer["acked_in_time"] > answer["window"] * 5
        assert 0 < answer["ms_p50"] <= answer["ms_p95"] <= answer["ms_p99"]


def test_the_limit_writes_the_rows_of_every_message_again(tmp_path: Path) -> None:
    folder = tmp_path / "limit"
    folder.mkdir()
    with closing(sqlite3.connect(tmp_path / "storm.db")) as database:
        database.executescript(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, body TEXT, ref TEXT);"
            "CREATE UNIQUE INDEX one_ref ON messages (ref);"
            "CREATE TABLE channels (id INTEGER PRIMARY KEY)"
        )
        rows = [(number, "Hello", f"r{number}") for number in range(300)]
        database.executemany("INSERT INTO messages VALUES (?, ?, ?)", rows)
        database.execute("INSERT INTO channels VALUES (1)")
        database.commit()
    program = sqlite_limit.__file__
    arguments = [str(tmp_path / "storm.db"), "300", "128", "0.1", str(folder)]
    done = subprocess.run(  # noqa: S603 our own program
        [sys.executable, program, *arguments], capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["tables"] == 1
    assert answer["per_second"] > 100
    with closing(sqlite3.connect(folder / "limit.db")) as copy:
        assert copy.execute("SELECT count(*) FROM messages").fetchone()[0] in (128, 256, 300)
        assert copy.execute("SELECT count(*) FROM sqlite_master").fetchone() == (2,)
