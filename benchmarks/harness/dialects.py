"""What is said inside of WebSocket frames: STORM's JSON, or Socket.IO. The client knows both."""

import json
from dataclasses import dataclass

MESSAGE = "Hello world"
_FIELDS = {"channel_id": 1, "payload": MESSAGE}


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@dataclass(frozen=True)
class Dialect:
    """How a connection is opened, and how it says ``MESSAGE`` in channel 1."""

    name: str
    """As the load client calls it."""
    path: str
    command: str


PLAIN = Dialect("plain", "/ws?channel_id=1", _compact({"type": "message", **_FIELDS}))
# The token and the channel follow in the packet that connects.
SOCKETIO = Dialect(
    "socketio", "/socket.io/?EIO=4&transport=websocket", "42" + _compact(["message", _FIELDS])
)
