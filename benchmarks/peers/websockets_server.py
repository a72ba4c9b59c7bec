"""The room on the ``websockets`` library: its asyncio server and its own ``broadcast``."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import jwt
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request, Response

SECRET = os.environ["BENCH_JWT_SECRET"]


class Room:
    """The connections of one room and the number of its newest message."""

    def __init__(self) -> None:
        self.connections: set[ServerConnection] = set()
        self.seq = 0

    async def handle(self, connection: ServerConnection) -> None:
        """Join, then pass on whatever this user says."""
        path = connection.request.path if connection.request else ""
        channel_id = int(parse_qs(urlsplit(path).query)["channel_id"][0])
        self.connections.add(connection)
        try:
            await connection.send(
                encode({"type": "subscribed", "channel_id": channel_id, "head": self.seq})
            )
            async for text in connection:
                command = json.loads(text)
                self.seq += 1
                event = {
                    "type": "message",
                    "channel_id": command["channel_id"],
                    "payload": command["payload"],
                    "user_id": connection.username,
                    "id": self.seq,
                    "seq": self.seq,
                    "sent_at": utc_now(),
                }
                broadcast(self.connections, encode(event))
        finally:
            self.connections.discard(connection)


def utc_now() -> str:
    """RFC 3339 in as many bytes as the others use."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(event: dict[str, object]) -> str:
    """One event as compact JSON, like every other server here sends it."""
    return json.dumps(event, separators=(",", ":"))


def authenticate(connection: ServerConnection, request: Request) -> Response | None:
    """Let the token's subject in; answer 401 to everybody else."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        connection.username = str(jwt.decode(token, SECRET, algorithms=["HS256"])["sub"])
    except jwt.InvalidTokenError:
        return connection.respond(401, "invalid token\n")
    return None


async def main(port: int) -> None:
    """Serve until this process is ended."""
    async with serve(
        Room().handle, "127.0.0.1", port, process_request=authenticate, compression=None
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
