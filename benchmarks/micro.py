"""What one step of the hot path costs, in nanoseconds: for whoever changes that step.

    python benchmarks/micro.py [seconds for each step]

No sockets and no other process, so small differences show. What the figures mean for a server
stands in the results of ``run.py``; this only tells which step became slower.
"""
# ruff: noqa: T201 this is the output

import sys
import timeit
from collections.abc import Callable, Mapping

from storm_gateway.protocol.codec import decode_command, encode
from storm_gateway.protocol.events import MessageEvent
from storm_gateway.protocol.handshake import accept_response, check_upgrade, parse_request
from storm_gateway.protocol.websocket import FrameReader, text_frame

REPEATS = 5
MASK = b"\x37\xfa\x21\x3d"
COMMAND = b'{"type":"message","channel_id":1,"payload":"Hello world","ref":"17.3.66f2a1"}'
EVENT = MessageEvent(1, "Hello world", "user-00017", 12_345, 12_345, "2026-01-01T00:00:00.000Z")
REQUEST = (
    b"GET /ws?channel_id=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer " + b"x" * 160 + b"\r\n\r\n"
)


def masked(text: bytes) -> bytes:
    """A client's text frame; ``text`` is shorter than 126 bytes."""
    body = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(text))
    return bytes((0x81, 0x80 | len(text))) + MASK + body


def steps() -> Mapping[str, Callable[[], object]]:
    """The steps of the hot path, on the data of a usual message."""
    reader = FrameReader(64 * 1024)
    one, sixteen = masked(COMMAND), masked(COMMAND) * 16
    encoded = encode(EVENT)
    frames = [text_frame(encoded)] * 16
    request = parse_request(REQUEST)
    return {
        "read one masked frame": lambda: reader.feed(one),
        "read sixteen masked frames": lambda: reader.feed(sixteen),
        "decode a command": lambda: decode_command(COMMAND),
        "encode an event": lambda: encode(EVENT),
        "make a frame of it": lambda: text_frame(encoded),
        "join sixteen frames": lambda: b"".join(frames),
        "parse an upgrade request": lambda: parse_request(REQUEST),
        "check it and answer": lambda: accept_response(check_upgrade(request), subprotocol=False),
    }


def nanoseconds(step: Callable[[], object], seconds: float) -> float:
    """The least of some repeats: whatever disturbs can only add."""
    timer = timeit.Timer(step)
    once = timer.timeit(100) / 100
    count = max(1, int(seconds / REPEATS / once))
    return min(timer.repeat(REPEATS, count)) / count * 1e9


def main(seconds: float) -> None:
    """Print one line for each step."""
    for name, step in steps().items():
        print(f"{name:28} {nanoseconds(step, seconds):10,.0f} ns")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
