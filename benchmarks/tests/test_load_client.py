"""The load client against the bare loop, and against a server that is hard to read."""
# ruff: noqa: S101 tests assert

import base64
import hashlib
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from harness import prepare
from harness.client import LoadClient, load_client
from harness.processes import free_port, running, wait_until_ready
from harness.tokens import write_tokens

SECRET = "s" * 32
CPU = min(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("programs")
    return prepare.load_client(folder), prepare.limit_server(folder)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    write_tokens(path, SECRET, 50)
    return path


@pytest.fixture
def client(programs: tuple[Path, Path], tokens: Path, tmp_path: Path) -> Iterator[LoadClient]:
    program, limit = programs
    port = free_port()
    command = [str(limit), str(port)]
    with running(
        command, cpu=CPU, log=tmp_path / "log", environment={}, folder=tmp_path
    ) as process:
        wait_until_ready(process, port, None)
        with load_client(program, port, tokens, cpu=CPU) as found:
            yield found


def test_tokens_are_what_other_back_ends_sign(tokens: Path) -> None:
    lines = tokens.read_text().splitlines()
    claims = jwt.decode(lines[7], SECRET, algorithms=["HS256"])
    assert (len(lines), claims["sub"]) == (50, "user-00007")
    assert set(claims) == {"sub", "iat", "exp"}


@pytest.mark.parametrize("frames", [1, 16])
def test_every_connection_receives_every_frame_of_every_burst(
    client: LoadClient, frames: int
) -> None:
    assert client.open(50)["failed"] == 0
    burst = client.burst(frames, 0.2)
    assert burst["deliveries"] == burst["bursts"] * frames * 50
    assert burst["frames_per_segment"] == pytest.approx(frames, rel=0.05)


def test_connections_can_be_closed_and_opened_again(client: LoadClient) -> None:
    client.open(50)
    assert client.close()["joined"] == 0
    assert client.open(20)["joined"] == 20
    assert client.state()["closed_by_server"] == 0


def _frame(text: bytes, first: int = 0x81) -> bytes:
    size = len(text)
    if size < 126:
        return bytes([first, size]) + text
    if size < 65_536:
        return bytes([first, 126]) + size.to_bytes(2, "big") + text
    return bytes([first, 127]) + size.to_bytes(8, "big") + text


def _drip(server: socket.socket, sizes: Iterator[int], received: list[bytes]) -> None:
    """Upgrade one client, then send all kinds of frames in pieces of every size."""
    connection, _ = server.accept()
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(65_536)
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r")[0]
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
    message = b'{"type":"message","channel_id":1,"payload":"%s"}'
    data = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    data += _frame(b'{"type":"hello"}') + _frame(b'{"type":"subscribed","channel_id":1}')
    for size in (1, 60, 300, 70_000):
        data += _frame(message % (b"x" * size))
        data += _frame(b'{"type":"message.edited","channel_id":1}') + _frame(b"", 0x89)
    data += _frame(b"p" * 125, 0x89)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data:
        piece = next(sizes)
        connection.sendall(data[:piece])
        data = data[piece:]
    pongs = b""
    while len(pongs) < 4 * 6 + 131:  # four empty pongs, then one that gives 125 bytes back
        pongs += connection.recv(65_536)
    received.append(pongs)
    connection.close()


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 126, 100_000])
def test_frames_are_told_apart_however_they_are_cut(
    programs: tuple[Path, Path], tokens: Path, piece: int
) -> None:
    def sizes() -> Iterator[int]:
        for _ in range(600):
            yield piece
        while True:  # the rest of the large frame, which need not be cut as finely
            yield max(piece, 5_000)

    pongs: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_drip, args=(server, sizes(), pongs), daemon=True)
        thread.start()
        with load_client(programs[0], server.getsockname()[1], tokens, cpu=CPU) as client:
            client.open(1)
            while (state := client.state())["pings"] < 5:
                pass
            thread.join(10)
    assert (state["messages"], state["others"], state["pings"]) == (4, 6, 5)
    mask = pongs[0][-129:-125]
    echo = bytes(byte ^ mask[i % 4] for i, byte in enumerate(pongs[0][-125:]))
    assert echo == b"p" * 125
