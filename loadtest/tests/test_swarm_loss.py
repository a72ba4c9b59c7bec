"""The swarm's counters turn red: against a server that skips, doubles and swaps on purpose."""
# ruff: noqa: S101 tests assert

import json
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from common.paths import PYTHON, REPOSITORY
from swarming.fleet import Fleet
from swarming.state import State

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)
CHANNEL, HEAD = 7, 5
UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


def frame(payload: bytes, opcode: int = 1) -> bytes:
    size = len(payload)
    head = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + head + payload


def event(kind: str, **fields: object) -> bytes:
    return frame(json.dumps({"type": kind, **fields}, separators=(",", ":")).encode())


def message(seq: int, payload: str = 'said "seq":99, {"type":"ack"}') -> bytes:
    """With a payload that looks like what is searched."""
    return event(
        "message", channel_id=CHANNEL, payload=payload, user_id="u", id=seq, seq=seq,
        sent_at="2026-01-31T12:00:00.000Z",
    )  # fmt: skip


def subscribed(head: int = HEAD, **more: object) -> bytes:
    return event("subscribed", channel_id=CHANNEL, head=head, **more)


class FakeStorm(socketserver.ThreadingTCPServer):
    """Answers each upgrade with what comes next in ``says``, and keeps what it was asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *says: Sequence[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.says = list(says)
        self.requests: list[str] = []
        self.heard: list[bytes] = []
        self.heads = {CHANNEL: HEAD}
        self.hang_ups = 0
        """So many connections end at the first word of the client."""
        self.ending = threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(socketserver.BaseRequestHandler):
    """One connection."""

    server: FakeStorm

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += self.request.recv(4_096)
        if asked.startswith(b"GET /channels"):
            names = ("swarm-hall", "swarm-room-0", "swarm-small-0")
            rows = [
                {"id": CHANNEL + n, "name": name, "head": self.server.heads.get(CHANNEL + n, 0)}
                for n, name in enumerate(names)
            ]
            body = json.dumps(rows).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            self.request.sendall(head.encode() + body)
            return
        self.server.requests.append(asked.decode())
        for piece in self.server.says.pop(0):
            self.request.sendall(piece)
        self.request.settimeout(0.05)
        while not self.server.ending.is_set():
            try:
                if not (data := self.request.recv(4_096)):
                    return
                self.server.heard.append(data)
                if self.server.hang_ups:
                    self.server.hang_ups -= 1
                    return
            except TimeoutError:
                continue
            except OSError:
                return


@pytest.fixture
def fake() -> Iterator[Callable[..., FakeStorm]]:
    started: list[FakeStorm] = []

    def start(*says: Sequence[bytes]) -> FakeStorm:
        server = FakeStorm(*says)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.ending.set()
        server.shutdown()
        server.server_close()


def one(server: FakeStorm, tmp_path: Path, done: Callable[[State], bool]) -> State:
    """The state of one user of one channel, once ``done``."""
    (tmp_path / "plan").write_text(f"token {CHANNEL}\n")
    with Fleet(tmp_path / "plan", 1, 1, [server.address]) as fleet:
        fleet.open(0, 0)
        until = time.monotonic() + 10
        while not done(state := fleet.state()):
            assert time.monotonic() < until, state.as_json()
            time.sleep(0.01)
        (tmp_path / "heads").write_text("".join(f"{c} {h}\n" for c, h in server.heads.items()))
        fleet.ask(f"check {tmp_path / 'heads'}")
        return fleet.state()


@pytest.mark.parametrize(
    ("seqs", "found"),
    [
        ((6, 7, 8), {}),
        ((6, 8, 9), {"lost": 1, "holes": 1}),
        ((6, 10), {"lost": 3, "holes": 1}),
        ((6, 7, 7), {"doubled": 1}),
        ((6, 8, 7), {"late_fills": 1, "holes": 1}),
        ((10, 7, 9, 6, 8), {"late_fills": 4, "holes": 1}),
        ((10, 8, 8), {"lost": 3, "late_fills": 1, "doubled": 1, "holes": 1}),
    ],
    ids=["in order", "skipped", "three", "twice", "swapped", "all late", "hole in pieces"],
)
def test_what_is_skipped_doubled_or_swapped_is_counted(
    fake: Callable[..., FakeStorm], tmp_path: Path, seqs: tuple[int, ...], found: dict[str, int]
) -> None:
    server = fake([UPGRADED + subscribed() + b"".join(message(seq) for seq in seqs)])
    state = one(server, tmp_path, lambda state: state["deliveries"] == len(seqs))
    wrong = ("lost", "doubled", "late_fills", "holes", "strangers", "unread")
    assert {name: state[name] for name in wrong if state[name]} == found


def test_frames_in_pieces_and_other_events_with_a_seq_are_read(
    fake: Callable[..., FakeStorm], tmp_path: Path
) -> None:
    joined = event("member.joined", channel_id=CHANNEL, seq=7, user_id="v", role="member")
    read = event("read", channel_id=CHANNEL, user_id="v", seq=3)
    edited = event("message.edited", channel_id=CHANNEL, seq=8, message_id=1, message_seq=6)
    stream = UPGRADED + subscribed() + message(6) + joined + read + edited + message(9, "x" * 300)
    server = fake([bytes([byte]) for byte in stream])
    state = one(server, tmp_path, lambda state: state["deliveries"] == 4)
    assert (state["lost"], state["doubled"], state["unread"], state["frames"]) == (0, 0, 0, 6)


def test_a_head_above_what_came_is_a_loss(fake: Callable[..., FakeStorm], tmp_path: Path) -> None:
    beat = event("heartbeat", heads={"70": 99, str(CHANNEL): 8})
    server = fake([UPGRADED + subscribed() + message(6) + beat])
    assert one(server, tmp_path, lambda state: state["heartbeats"] == 1)["lost"] == 2


def test_at_the_end_the_store_knows_what_is_missing(
    fake: Callable[..., FakeStorm], tmp_path: Path
) -> None:
    server = fake([UPGRADED + subscribed() + message(6)])
    server.heads = {CHANNEL: 10}
    assert one(server, tmp_path, lambda state: state["deliveries"] == 1)["lost"] == 4


def test_what_the_store_does_not_have_is_told(
    fake: Callable[..., FakeStorm], tmp_path: Path
) -> None:
    server = fake([UPGRADED + subscribed() + message(6) + message(7)])
    server.heads = {CHANNEL: HEAD}
    assert one(server, tmp_path, lambda state: state["deliveries"] == 2)["ahead"] == 2


def test_a_message_without_an_answer_is_sent_again_with_its_ref_once_the_sender_is_back(
    fake: Callable[..., FakeStorm], tmp_path: Path
) -> None:
    server = fake([UPGRADED + subscribed()], [UPGRADED, subscribed()])
    server.hang_ups = 1
    (tmp_path / "plan").write_text(f"token {CHANNEL}\n")
    with Fleet(tmp_path / "plan", 1, 1, [server.address]) as fleet:
        fleet.open(0, 0)
        until = time.monotonic() + 10
        while fleet.state()["open"] == 0:
            assert time.monotonic() < until
        fleet.send(10, 0.1, (1,))
        while (state := fleet.state())["resent"] == 0:
            assert time.monotonic() < until
        assert (state["due"], state["sent"], state["acked"]) == (1, 1, 0)
        while len(refs := re.findall(r'"ref":"([^"]+)"', unmasked(b"".join(server.heard)))) < 2:
            assert time.monotonic() < until
    assert len(refs) == 2
    assert refs[0] == refs[1]


def test_a_resumed_connection_asks_from_before_its_hole_and_is_whole_again(
    fake: Callable[..., FakeStorm], tmp_path: Path
) -> None:
    closed = frame((1012).to_bytes(2, "big"), 8)
    replay = [message(7), message(8), message(9)]
    server = fake(
        [UPGRADED + subscribed() + message(6) + message(8) + event("reconnect", after_ms=50),
         closed],
        [UPGRADED, subscribed(9), *replay],
    )  # fmt: skip
    state = one(server, tmp_path, lambda state: state["deliveries"] == 5)
    assert (state["lost"], state["doubled"], state["back"], state["holes"]) == (0, 0, 1, 1)
    assert state.reasons == {"close 1012": 1}
    first, second = server.requests
    assert first.startswith(f"GET /ws?channel_id={CHANNEL} ")
    assert second.startswith("GET /ws ")
    assert '"since":6}' in unmasked(b"".join(server.heard))
    # Not before the moment that the server asked for.
    assert state.histograms["back_after"].ms(1) >= 45


def test_what_is_too_old_to_be_replayed_is_a_gap_and_no_loss(
    fake: Callable[..., FakeStorm], tmp_path: Path
) -> None:
    server = fake(
        [UPGRADED + subscribed() + message(6) + event("reconnect", after_ms=1), b""],
        [UPGRADED, subscribed(20, gap={"from": 7, "to": 18}), message(19), message(20)],
    )
    server.says[0] = [*server.says[0], frame((1012).to_bytes(2, "big"), 8)]
    state = one(server, tmp_path, lambda state: state["deliveries"] == 3)
    assert (state["lost"], state["gaps"]) == (0, 12)


def test_a_full_server_is_left_alone_for_as_long_as_it_says(
    fake: Callable[..., FakeStorm], tmp_path: Path
) -> None:
    server = fake([FULL], [UPGRADED + subscribed()])
    state = one(server, tmp_path, lambda state: state["open"] == 1)
    assert state.why == "1 x http 503 Service Unavailable"
    # The opening counts from when it was wanted.
    assert 1_000 <= state.histograms["connect"].ms(1) <= 3_000


def test_the_exit_status_is_1_when_something_was_lost(
    fake: Callable[..., FakeStorm], tmp_path: Path
) -> None:
    talk = b"".join(
        event("subscribed", channel_id=channel, head=HEAD)
        for channel in range(CHANNEL, CHANNEL + 3)
    )
    whole, torn = message(6) + message(7), message(6) + message(8)
    for said, status in ((whole, 0), (torn, 1)):
        server = fake([UPGRADED + talk + said])
        server.heads = {CHANNEL: HEAD + 2 + status, CHANNEL + 1: HEAD, CHANNEL + 2: HEAD}
        done = subprocess.run(  # noqa: S603 our own program
            [PYTHON, "loadtest/swarm.py", "hold", "--url", f"http://{server.address}",
             "--connections", "1", "--rate", "0", "--seconds", "1", "--settle", "2",
             "--json", tmp_path / "figures.json", "--out", tmp_path / "figures.md",
             "--slice", "15"],
            cwd=REPOSITORY, env={"STORM_JWT_SECRET": "s" * 32, "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        assert ("1 messages were lost" in done.stdout) == bool(status)
        figures = json.loads((tmp_path / "figures.json").read_text())
        assert bool(figures["faults"]) == bool(status)
        assert "everything scheduled as batch" in (tmp_path / "figures.md").read_text()


def unmasked(data: bytes) -> str:
    """The text of one masked frame after another."""
    found = []
    while data:
        size, head = data[1] & 0x7F, 2
        if size == 126:
            size, head = int.from_bytes(data[2:4], "big"), 4
        mask, body = data[head : head + 4], data[head + 4 : head + 4 + size]
        found.append(bytes(b ^ mask[n % 4] for n, b in enumerate(body)))
        data = data[head + 4 + size :]
    return re.sub(r"\s+", " ", b" ".join(found).decode(errors="replace"))
