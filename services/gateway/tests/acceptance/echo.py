"""An echo listener on STORM's own engine: what conformance suites talk to."""

import argparse
import asyncio

from storm_gateway.connections.websocket import Engine, WebSocket
from storm_gateway.protocol.handshake import (
    RefusedHandshake,
    accept_response,
    check_upgrade,
    parse_request,
)
from storm_gateway.protocol.websocket import Opcode, frame


class Echo(WebSocket):
    """Answers each message with itself."""

    __slots__ = ("head",)

    def __init__(self) -> None:
        super().__init__()
        self.head = b""

    def data_received(self, data: bytes) -> None:
        if self.state:
            super().data_received(data)
            return
        self.head += data
        end = self.head.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        try:
            key = check_upgrade(parse_request(self.head[:end]))
        except RefusedHandshake as refused:
            self.transport.write(refused.response())
            self.transport.close()
            return
        self.transport.write(accept_response(key, subprotocol=False))
        self.opened()
        if len(self.head) > end:
            super().data_received(self.head[end:])
        self.head = b""

    def on_text(self, data: bytes) -> None:
        self.send(frame(Opcode.TEXT, data))

    def on_binary(self, data: bytes) -> None:
        self.send(frame(Opcode.BINARY, data))


async def listen(message_bytes: int = 1 << 24) -> tuple[asyncio.Server, Engine, int]:
    """Start one on a free port; returns (server, its engine, port)."""
    engine = Engine(
        message_bytes=message_bytes,
        ephemeral_bytes=1 << 25,
        close_bytes=1 << 26,
        close_seconds=1,
    )
    bound = type("BoundEcho", (Echo,), {"__slots__": (), "engine": engine})
    server = await asyncio.get_running_loop().create_server(bound, "127.0.0.1", 0)
    return server, engine, server.sockets[0].getsockname()[1]


async def main() -> None:
    """Serve until killed; the port is printed first."""
    server, engine, port = await listen()
    print(port, flush=True)  # noqa: T201 the parent process reads it
    async with server:
        while True:
            await asyncio.sleep(1)
            engine.second()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="uvloop")
    if parser.parse_args().loop == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
