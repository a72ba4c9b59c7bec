"""Open loop: messages leave by the clock, and every latency begins when its message was due."""
# ruff: noqa: S101 tests assert

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from harness import prepare
from harness.client import load_client
from harness.paths import CLIENT_SOURCES
from harness.tokens import write_tokens
from small_server import serving
from websockets.asyncio.server import ServerConnection, broadcast

CPU = min(os.sched_getaffinity(0)) if sys.platform == "linux" else 0

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare.load_client(tmp_path_factory.mktemp("program"))


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    write_tokens(tmp_path / "tokens", "s" * 32, 10)
    return tmp_path / "tokens"


class Room:
    """Passes on what it gets, all but the message that it was told to lose."""

    def __init__(self, lose: int = 0) -> None:
        self.everybody: set[ServerConnection] = set()
        self.messages = 0
        self.fifth = threading.Event()
        self._lose = lose

    async def handle(self, connection: ServerConnection) -> None:
        self.everybody.add(connection)
        await connection.send('{"type":"subscribed","channel_id":1,"head":0}')
        async for _text in connection:
            self.messages += 1
            if self.messages == 5:
                self.fifth.set()
            if self.messages != self._lose:
                broadcast(self.everybody, '{"type":"message","channel_id":1}')


def test_as_many_messages_leave_as_the_rate_says_and_everyone_is_in_the_histogram(
    program: Path, tokens: Path
) -> None:
    room = Room()
    with serving(room.handle) as port, load_client(program, port, tokens, cpu=CPU) as client:
        client.open(10)
        client.burst(1, 0.05)
        before = room.messages
        answer = client.pace(50, 0.6)
    assert answer["sent"] == room.messages - before == 30
    assert answer["deliveries"] == sum(count for _, count in answer["buckets_us"]) == 300
    # The last of 30 is due 29 intervals of 20 ms after the first.
    assert answer["seconds"] >= 0.58
    levels = [answer[f"ms_{level}"] for level in ("p50", "p95", "p99", "p999", "max")]
    assert levels[0] > 0
    assert levels == sorted(levels)
    assert 0 < answer["first_ms_p50"] <= answer["last_ms_p50"] <= answer["ms_max"]


def test_a_client_that_was_held_up_shows_it_in_the_latencies(program: Path, tokens: Path) -> None:
    room = Room()
    stopped_seconds = 0.3

    def hold_up(pid: int) -> None:
        room.fifth.wait(10)
        os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(stopped_seconds)
        os.kill(pid, signal.SIGCONT)

    with serving(room.handle) as port, load_client(program, port, tokens, cpu=CPU) as client:
        client.open(10)
        thread = threading.Thread(target=hold_up, args=(client.pid,))
        thread.start()
        answer = client.pace(100, 0.6)
        thread.join()
    assert answer["sent"] == 60
    assert answer["send_late_ms_max"] > 200
    # Some 30 messages were due meanwhile; 10 of them waited longer than 200 ms, 20 than 100 ms.
    slow = sum(count for highest_us, count in answer["buckets_us"] if highest_us > 100_000)
    assert slow >= 15 * 10


def test_a_lost_message_is_no_success(
    program: Path, tokens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CFLAGS", [*prepare.CFLAGS, "-DDRAIN_SECONDS=1"])
    hasty = prepare.load_client(tokens.parent)
    room = Room(lose=3)
    with (
        serving(room.handle) as port,
        load_client(hasty, port, tokens, cpu=CPU) as client,
    ):
        client.open(4)
        with pytest.raises(RuntimeError, match="lost or doubled"):
            client.pace(100, 0.1)


def test_the_histogram_is_never_lower_and_at_most_a_64th_higher(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(
        '#include "histogram.h"\n'
        "static struct histogram all;\n"
        "int main(void) {\n"
        "    unsigned long long value;\n"
        '    while (scanf("%llu", &value) == 1) histogram_add(&all, value);\n'
        "    for (int i = 1; i <= 100; i++)\n"
        '        printf("%llu ", (unsigned long long)histogram_at(&all, i));\n'
        "    return 0;\n"
        "}\n"
    )
    sources = [tmp_path / "main.c", CLIENT_SOURCES / "histogram.c"]
    compiler = shutil.which("cc") or "cc"
    binary = tmp_path / "histogram"
    subprocess.run(  # noqa: S603 our own program
        [compiler, "-std=c11", "-I", CLIENT_SOURCES, "-o", binary, *sources], check=True
    )
    values = sorted([int(1.07**n) for n in range(300)] + [0, 1, 127, 128, 129, 2**33])
    done = subprocess.run(  # noqa: S603 our own program
        [binary], input="\n".join(map(str, values)), capture_output=True, text=True, check=True
    )
    for percent, found in enumerate(map(int, done.stdout.split()), start=1):
        true = values[-(-percent * len(values) // 100) - 1]
        assert true <= found <= true * (1 + 1 / 64)
