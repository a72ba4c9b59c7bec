"""Socket.IO: the load client passes its handshake, answers its pings and counts its events."""
# ruff: noqa: S101 tests assert

import json
import os
import shutil
import sys
import time
from pathlib import Path

import jwt
import pytest
from harness import prepare
from harness.client import load_client
from harness.dialects import MESSAGE, SOCKETIO
from harness.tokens import write_tokens
from small_server import serving
from websockets.asyncio.server import ServerConnection, broadcast

SECRET = "s" * 32
CPU = min(os.sched_getaffinity(0)) if sys.platform == "linux" else 0

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return prepare.load_client(tmp_path)


def _event(fields: dict[str, object]) -> str:
    return "42" + json.dumps(["message", fields], separators=(",", ":"))


class SocketIORoom:
    """As much of Engine.IO 4 and Socket.IO 5 as one room needs."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.paths: set[str] = set()
        self.headers: set[str] = set()
        self.pongs = 0
        self.everybody: set[ServerConnection] = set()

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.add(connection.request.path)
        self.headers |= {name.lower() for name in connection.request.headers}
        await connection.send('0{"sid":"a","upgrades":[],"pingInterval":25000}')
        packet = str(await connection.recv())
        auth = json.loads(packet.removeprefix("40"))
        try:
            claims = jwt.decode(auth["token"], SECRET, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            await connection.send('44{"message":"invalid token"}')
            await connection.wait_closed()
            return
        self.users.append(claims["sub"])
        await connection.send('40{"sid":"b"}')
        await connection.send("2")
        assert await connection.recv() == "3"
        self.pongs += 1
        self.everybody.add(connection)
        await connection.send(f'42["subscribed",{{"channel_id":{auth["channel_id"]}}}]')
        async for text in connection:
            name, fields = json.loads(str(text).removeprefix("42"))
            assert (name, fields) == ("message", {"channel_id": 1, "payload": MESSAGE})
            broadcast(self.everybody, '42["typing",{}]')
            broadcast(self.everybody, _event(fields | {"seq": 1}))


def test_every_connection_joins_with_its_token_and_receives_every_event(
    program: Path, tmp_path: Path
) -> None:
    write_tokens(tmp_path / "tokens", SECRET, 20)
    room = SocketIORoom()
    with (
        serving(room.handle) as port,
        load_client(program, port, tmp_path / "tokens", cpu=CPU, dialect=SOCKETIO) as client,
    ):
        assert client.open(20)["joined"] == 20
        burst = client.burst(4, 0.1)
        paced = client.pace(50, 0.2)
        state = client.state()
    assert sorted(room.users) == [f"user-{number:05}" for number in range(20)]
    assert room.paths == {"/socket.io/?EIO=4&transport=websocket"}
    assert "authorization" not in room.headers
    assert room.pongs == state["pings"] == 20
    assert burst["deliveries"] == burst["bursts"] * 4 * 20
    assert (paced["sent"], paced["deliveries"]) == (10, 200)
    assert (state["errors"], state["closed_by_server"]) == (0, 0)


def test_a_refused_connection_is_not_waited_for(program: Path, tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens", "x" * 32, 3)
    began = time.monotonic()
    with (
        serving(SocketIORoom().handle) as port,
        load_client(program, port, tmp_path / "tokens", cpu=CPU, dialect=SOCKETIO) as client,
        pytest.raises(RuntimeError, match="only 0 of 3"),
    ):
        client.open(3)
    assert time.monotonic() - began < 20  # the client gives up after a minute
