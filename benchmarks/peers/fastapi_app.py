"""The room as FastAPI's documentation builds it: dependencies and a ``ConnectionManager``."""

import json
import os
from datetime import UTC, datetime
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, Header, WebSocket, WebSocketDisconnect, WebSocketException

SECRET = os.environ["BENCH_JWT_SECRET"]

app = FastAPI()


class ConnectionManager:
    """Who is in the room, and the loop that sends to all of them."""

    def __init__(self) -> None:
        self.active_connections: list[WebSocket] = []
        self.seq = 0

    async def connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.active_connections.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        self.active_connections.remove(websocket)

    async def broadcast(self, message: str) -> None:
        for connection in self.active_connections:
            await connection.send_text(message)


manager = ConnectionManager()


def utc_now() -> str:
    """RFC 3339 in as many bytes as the others use."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def current_user(authorization: Annotated[str, Header()]) -> str:
    """The token's subject."""
    token = authorization.removeprefix("Bearer ")
    try:
        return str(jwt.decode(token, SECRET, algorithms=["HS256"])["sub"])
    except jwt.InvalidTokenError:
        raise WebSocketException(code=1008) from None


@app.websocket("/ws")
async def room(
    websocket: WebSocket, channel_id: int, user_id: Annotated[str, Depends(current_user)]
) -> None:
    """Join, then pass on whatever this user says."""
    await manager.connect(websocket)
    await websocket.send_text(
        json.dumps(
            {"type": "subscribed", "channel_id": channel_id, "head": manager.seq},
            separators=(",", ":"),
        )
    )
    try:
        while True:
            command = json.loads(await websocket.receive_text())
            manager.seq += 1
            event = {
                "type": "message",
                "channel_id": command["channel_id"],
                "payload": command["payload"],
                "user_id": user_id,
                "id": manager.seq,
                "seq": manager.seq,
                "sent_at": utc_now(),
            }
            await manager.broadcast(json.dumps(event, separators=(",", ":")))
    except WebSocketDisconnect:
        manager.disconnect(websocket)
