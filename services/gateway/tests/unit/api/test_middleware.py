"""The layers around the routes, one by one."""

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storm_gateway.actions.address import parse_networks
from storm_gateway.api.middleware import Bounds, Faults, SecurityHeaders

HTTP: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/x",
    "scheme": "http",
    "headers": [(b"host", b"storm.example")],
    "client": ("203.0.113.1", 1),
}


class Server:
    """Gives the messages of a request, keeps those of the answer."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def layers(app: ASGIApp) -> list[ASGIApp]:
    return [
        SecurityHeaders(app, https=False, trusted=()),
        Faults(app),
        Bounds(app, body_bytes=10, body_seconds=1),
    ]


async def test_what_is_not_http_passes_untouched() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send(await receive())

    for layer in layers(app):
        server = Server({"type": "lifespan.startup"})
        await layer({"type": "lifespan"}, server.receive, server.send)
        assert server.sent == [{"type": "lifespan.startup"}]
    assert len(seen) == 3


async def test_a_client_that_goes_away_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    server = Server()
    await Faults(app)(HTTP, server.receive, server.send)
    assert server.sent == []
    assert caplog.records == []


async def test_a_fault_after_the_answer_began_is_left_to_the_server() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("late")

    server = Server()
    with pytest.raises(RuntimeError, match="late"):
        await Faults(app)(HTTP, server.receive, server.send)
    assert len(server.sent) == 1


async def test_the_deadline_of_a_body_ends_with_the_body() -> None:
    got: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        got.append(await receive())
        got.append(await receive())
        await asyncio.sleep(0.02)
        # As a streaming answer does: waiting for the client to go away may take long.
        got.append(await receive())

    server = Server(
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"c"},
        {"type": "http.disconnect"},
    )
    await Bounds(app, body_bytes=10, body_seconds=0.01)(HTTP, server.receive, server.send)
    assert [message["type"] for message in got] == ["http.request"] * 2 + ["http.disconnect"]


async def test_a_client_that_goes_away_during_its_body_is_heard() -> None:
    got: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        got.append(await receive())

    server = Server({"type": "http.disconnect"})
    await Bounds(app, body_bytes=10, body_seconds=1)(HTTP, server.receive, server.send)
    assert got == [{"type": "http.disconnect"}]


async def test_a_value_that_a_route_gave_itself_stays() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"cache-control", b"max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    server = Server()
    layer = SecurityHeaders(app, https=True, trusted=parse_networks("10.0.0.1"))
    await layer({**HTTP, "client": None}, server.receive, server.send)
    headers = dict(server.sent[0]["headers"])
    assert headers[b"cache-control"] == b"max-age=60"
    assert headers[b"x-frame-options"] == b"DENY"
    assert b"strict-transport-security" in headers
