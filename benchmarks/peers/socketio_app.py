"""The room on python-socketio: the token checked in ``connect``, a room, and ``emit`` to it."""

import os
from datetime import UTC, datetime
from typing import Any

import jwt
import socketio

SECRET = os.environ["BENCH_JWT_SECRET"]

sio = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])
app = socketio.ASGIApp(sio)
# The number of the newest message.
head = 0


def utc_now() -> str:
    """RFC 3339 in as many bytes as the others use."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def room_of(channel_id: int) -> str:
    """The name of a channel's room."""
    return f"channel:{channel_id}"


@sio.event
async def connect(sid: str, _environ: dict[str, Any], auth: dict[str, Any] | None) -> None:
    """Let the token's subject in and put it into the room it asks for."""
    try:
        claims = jwt.decode((auth or {}).get("token", ""), SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise socketio.exceptions.ConnectionRefusedError("invalid token") from None
    await sio.save_session(sid, {"user_id": str(claims["sub"])})
    channel_id = (auth or {})["channel_id"]
    await sio.enter_room(sid, room_of(channel_id))
    await sio.emit("subscribed", {"channel_id": channel_id, "head": head}, to=sid)


@sio.event
async def message(sid: str, command: dict[str, Any]) -> None:
    """Pass on what this user says."""
    global head
    user_id = (await sio.get_session(sid))["user_id"]
    head += 1
    event = {
        "channel_id": command["channel_id"],
        "payload": command["payload"],
        "user_id": user_id,
        "id": head,
        "seq": head,
        "sent_at": utc_now(),
    }
    await sio.emit("message", event, room=room_of(command["channel_id"]))
