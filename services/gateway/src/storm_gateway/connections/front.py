"""The first bytes of a TCP connection: is it a WebSocket, or HTTP for uvicorn?

uvicorn has no deadline and no size limit for request headers, and parses an upgrade request with
a parser that then stays in memory. So the front reads the first request head itself, opens
WebSockets directly, and hands everything else to uvicorn. An upgrade that comes later, on a kept
HTTP connection, takes uvicorn's ``ws=`` way to the same :class:`Connection`.
"""

import asyncio
import socket
from typing import Any, ClassVar, cast

from uvicorn.config import Config as UvicornConfig
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from storm_gateway.connections.connection import Connection
from storm_gateway.connections.edge import Edge
from storm_gateway.protocol.handshake import RefusedHandshake, wants_upgrade

_SPARE_SOCKETS = 256
"""Requests under way while the node is full: they hear 503, not silence."""


def peer_of(transport: asyncio.BaseTransport) -> str:
    """The address at the other end of the TCP connection; empty when it is gone already."""
    own = transport.get_extra_info("socket")
    if own is None:
        return ""
    # Asked by a socket object of our own: the transport would keep the answer as long as it lives.
    try:
        asked = socket.socket(own.family, own.type, own.proto, fileno=own.fileno())
    except (OSError, ValueError):
        return ""  # no file any more
    try:
        name = asked.getpeername()
    except OSError:
        return ""
    finally:
        asked.detach()
    return str(name[0]) if name else ""


class Front(asyncio.Protocol):
    """Reads one request head, within a size and a time, and hands the connection on."""

    __slots__ = ("_app_state", "_buffer", "_config", "_server_state", "_transport")

    edge: ClassVar[Edge]
    connection_class: ClassVar[type[Connection]]
    http_class: ClassVar[type["Http"]]

    def __init__(
        self,
        config: UvicornConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        edge = self.edge
        if len(edge.waiting) + edge.admission.total >= edge.admission.limit + _SPARE_SOCKETS:
            # Half requests must not use up the files that the database and the log need.
            self._transport.abort()
            return
        edge.waiting[self] = edge.loop.time() + edge.config.header_seconds

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        end = data.find(b"\r\n\r\n")
        if end < 0 and len(data) <= self.edge.config.header_bytes:
            self._buffer = data
            return
        self.edge.waiting.pop(self, None)
        self._buffer = b""
        if end < 0 or end > self.edge.config.header_bytes:
            refuse(self._transport, _too_large(self.edge), self.edge)
        elif wants_upgrade(data[: end + 4]):
            self._to_websocket(data, end + 4)
        else:
            self._to_http(data)

    def _to_websocket(self, data: bytes, end: int) -> None:
        transport = self._transport
        connection = self.connection_class()
        connection.connection_made(transport)
        if connection.upgrade(data[:end], peer_of(transport)):
            transport.set_protocol(connection)
            if len(data) > end:
                connection.data_received(data[end:])

    def _to_http(self, data: bytes) -> None:
        http = self.http_class(self._config, self._server_state, self._app_state)
        http.connection_made(self._transport)
        self._transport.set_protocol(http)
        http.data_received(data)

    def too_slow(self) -> None:
        """The head did not come in time."""
        self.edge.waiting.pop(self, None)
        refuse(self._transport, _too_late(), self.edge)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.edge.waiting.pop(self, None)


def refuse(transport: asyncio.Transport, refused: RefusedHandshake, edge: Edge) -> None:
    """Answer, end and count."""
    edge.metrics.requests_refused.labels(str(refused.status)).inc()
    transport.write(refused.response())
    transport.close()


def _too_large(edge: Edge) -> RefusedHandshake:
    limit = edge.config.header_bytes
    return RefusedHandshake(431, "invalid_request", f"Headers may have {limit} bytes.")


def _too_late() -> RefusedHandshake:
    return RefusedHandshake(408, "invalid_request", "The request did not come in time.")


_BETWEEN = len(": \r\n")


class Http(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a deadline and a size limit for heads and bodies' time."""

    edge: ClassVar[Edge]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = 0  # as they came, also of a head that is not whole yet
        self._fields_bytes = 0  # of this head alone
        self._in_head = True

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self not in self.edge.waiting:
                self._wait(self.edge.config.header_seconds)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.edge.config.header_bytes:
            self._end(_too_large(self.edge))

    def on_url(self, url: bytes) -> None:
        self._fields_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields_bytes += len(name) + len(value) + _BETWEEN
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        fields, self._fields_bytes = self._fields_bytes, 0
        self._in_head = False
        self._head_bytes = 0
        if fields > self.edge.config.header_bytes:
            self._end(_too_large(self.edge))  # it came in one piece, on a kept connection
            return
        self._wait(self.edge.config.body_seconds)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.transport.is_closing():
            return  # nobody is asked any more
        self._in_head = True
        self.edge.waiting.pop(self, None)
        super().on_message_complete()

    def _wait(self, seconds: float) -> None:
        # Out and in again: the dictionary stays about in the order of the deadlines.
        self.edge.waiting.pop(self, None)
        self.edge.waiting[self] = self.loop.time() + seconds

    def too_slow(self) -> None:
        """The head or the body did not come in time."""
        self._end(_too_late())

    def _end(self, refused: RefusedHandshake) -> None:
        self.edge.waiting.pop(self, None)
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            refuse(self.transport, refused, self.edge)
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        refuse(self.transport, RefusedHandshake(400, "invalid_request", msg), self.edge)

    def handle_websocket_upgrade(self) -> None:
        self.edge.waiting.pop(self, None)
        super().handle_websocket_upgrade()
        # uvicorn leaves a cycle of this object and its parser to the garbage collector, which
        # is frozen here: 4.8 KB for each connection, if it were not broken by hand.
        self.parser = None  # type: ignore[assignment]
        self.flow = None  # type: ignore[assignment]
        self.transport = None  # type: ignore[assignment]
        self.scope = None  # type: ignore[assignment]
        self.headers = None  # type: ignore[assignment]
        self.cycle = None  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.edge.waiting.pop(self, None)
        super().connection_lost(exc)


def protocols_of(edge: Edge) -> tuple[type[Front], type[asyncio.Protocol]]:
    """The classes for uvicorn's ``http=`` and ``ws=``, bound to one node."""
    connection_class = type(
        "BoundConnection", (Connection,), {"__slots__": (), "edge": edge, "engine": edge}
    )
    http_class = type("BoundHttp", (Http,), {"edge": edge})
    front = type(
        "BoundFront",
        (Front,),
        {
            "__slots__": (),
            "edge": edge,
            "connection_class": connection_class,
            "http_class": http_class,
        },
    )

    class BoundWs(connection_class):  # type: ignore[misc, valid-type]
        """What uvicorn makes when an upgrade comes on a kept HTTP connection."""

        __slots__ = ()

        def __init__(self, *, config: object, server_state: object, app_state: object) -> None:
            super().__init__()

        def data_received(self, data: bytes) -> None:
            # uvicorn hands over the rebuilt request first, frames after it.
            if self.state == 0:
                self.upgrade(data, peer_of(self.transport))
            else:
                super().data_received(data)

    return front, BoundWs
