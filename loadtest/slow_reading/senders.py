"""Users who say messages at a steady pace."""

import asyncio
import time

from common.sockets import connect

from slow_reading.conditions import SENDERS, Scene

STAMP_CHARACTERS = 16
"""A payload begins with the moment of sending, in µs of the monotonic clock."""


async def send(scene: Scene, number: int, rate: float, characters: int) -> int:
    """One sender's share of ``rate`` messages a second, evenly, until the scene says enough;
    returns how many.
    """
    node = scene.node
    said = 0
    socket = await connect(
        node.host, node.port, "/ws", node.token(f"sender-{number}"), lambda *_: None
    )
    pause = SENDERS / rate
    due = time.monotonic() + pause * number / SENDERS
    filler = "x" * (characters - STAMP_CHARACTERS)
    while scene.sending:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due += pause
        said += 1
        payload = f"{time.monotonic_ns() // 1_000:0{STAMP_CHARACTERS}}{filler}"
        socket.send(
            {
                "type": "message",
                "channel_id": scene.channel,
                "payload": payload,
                "ref": f"{number}-{said}",
            }
        )
    await asyncio.sleep(0.5)
    socket.close()
    return said
