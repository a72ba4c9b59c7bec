"""A node, and clients that may do what a well-behaved one never would."""
# ruff: noqa: ASYNC109, ASYNC110 nodes are watched from outside, and each wait names its bound

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx2
import jwt

from storm_gateway.app import Gateway
from storm_gateway.config import Config

SECRET = "acceptance-tests-share-this-secret-with-the-node"
WAIT_SECONDS = 10.0
"""How long a test waits for an event that has to come: long, for busy machines."""
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

Event = dict[str, Any]
Headers = Mapping[str, str] | Iterable[tuple[str, str]]

QUICK: dict[str, Any] = {
    "jwt_secret": SECRET,
    "auth_rate_limit_enabled": False,
    "commands_per_second": 100_000,
    "commands_burst": 100_000,
    "close_seconds": 1,
    "drain_seconds": 1,
    "presence_interval_seconds": 0.05,
    "presence_grace_seconds": 0.2,
}


def token(user_id: str, seconds: float = 600, *, secret: str = SECRET, **claims: Any) -> str:
    """An access token as another back end signs it: sub, iat, exp and no more (contract)."""
    now = time.time()
    return jwt.encode(
        {"sub": user_id, "iat": now, "exp": now + seconds, **claims}, secret, algorithm="HS256"
    )


class Refused(Exception):  # noqa: N818 reads as what happened
    """The server answered the upgrade with something else than 101."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"{status} {body[:200]!r}")
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


class Closed(Exception):  # noqa: N818 reads as what happened
    """The connection ended; 1006 when no close frame came."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """One frame as a client sends it, or as none should."""
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    # The mask 0 leaves the payload as it is.
    return head + (b"\0\0\0\0" if masked else b"") + payload


def upgrade_head(target: str = "/ws", headers: Headers = (), *, host: str = "127.0.0.1") -> bytes:
    """A proper upgrade request; ``headers`` replace or, with an empty value, remove its own."""
    fields = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    given = dict(headers)
    lower = {name.lower() for name in given}
    kept = {name: value for name, value in fields.items() if name.lower() not in lower}
    lines = [f"{n}: {v}" for n, v in {**kept, **given}.items() if v]
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of one HTTP answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *rows = head[:-4].split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (r.partition(":") for r in rows)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(status_line.split(" ")[1]), headers, body


class Peer:
    """A WebSocket client on a bare socket. It reads when it is asked to, and never otherwise."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.headers: dict[str, str] = {}
        self.events: list[Event] = []
        """Everything that came, in order."""
        self.inbox: list[Event] = []
        """What came and was not waited for."""
        self.pings = 0
        self.pongs: list[bytes] = []
        self.answers_pings = True
        self._buffer = bytearray()
        self._refs = 0

    @classmethod
    async def connect(
        cls, port: int, *, local: str | None = None, receive_buffer: int | None = None
    ) -> Self:
        """Only TCP."""
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        raw.setblocking(False)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if local is not None:
            raw.bind((local, 0))
        try:
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        except BaseException:
            raw.close()
            raise
        limit = receive_buffer or 64 * 1024
        reader, writer = await asyncio.open_connection(sock=raw, limit=limit)
        return cls(reader, writer)

    async def upgrade(self, head: bytes) -> Self:
        """Send a request head and expect 101. Raises :class:`Refused`."""
        self.writer.write(head)
        async with asyncio.timeout(WAIT_SECONDS):
            status, headers, body = await read_answer(self.reader)
        if status != 101:
            await self.drop()
            raise Refused(status, headers, body)
        self.headers = headers
        return self

    # --- sending ---

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, type_: str, **fields: Any) -> None:
        """One command, without waiting for anything."""
        self.write(frame(TEXT, json.dumps({"type": type_, **fields}).encode()))

    async def ask(self, type_: str, **fields: Any) -> Event:
        """One command and the reply to it: ack, error, subscribed or pong."""
        self._refs += 1
        ref = fields.setdefault("ref", f"ask-{id(self)}-{self._refs}")
        self.send(type_, **fields)
        return await self.until(
            where=lambda e: (
                e.get("ref") == ref and e["type"] in ("ack", "error", "subscribed", "pong")
            )
        )

    async def say(self, channel_id: int, payload: str, **fields: Any) -> Event:
        """Send a message; gives its ack."""
        ack = await self.ask("message", channel_id=channel_id, payload=payload, **fields)
        assert ack["type"] == "ack", ack
        return ack

    async def subscribe(self, channel_id: int, since: int | None = None) -> Event:
        """Subscribe; gives ``subscribed``."""
        fields = {"channel_id": channel_id} | ({} if since is None else {"since": since})
        reply = await self.ask("subscribe", **fields)
        assert reply["type"] == "subscribed", reply
        return reply

    # --- receiving ---

    async def frame(self) -> tuple[int, bytes]:
        """The next frame, whatever it is. Raises :class:`Closed` at the end of the stream."""
        while True:
            found = self._take()
            if found is not None:
                return found
            try:
                data = await self.reader.read(65_536)
            except ConnectionError:
                data = b""
            if not data:
                raise Closed(1006)
            self._buffer += data

    def _take(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        assert buffer[0] & 0xF0 == 0x80, "a server frame is final and has no reserved bit"
        assert not buffer[1] & 0x80, "a server frame is never masked"
        size, start = buffer[1], 2
        if size == 126:
            start = 4
            if len(buffer) < 4:
                return None
            (size,) = struct.unpack_from("!H", buffer, 2)
        elif size == 127:
            start = 10
            if len(buffer) < 10:
                return None
            (size,) = struct.unpack_from("!Q", buffer, 2)
        if len(buffer) < start + size:
            return None
        found = buffer[0] & 15, bytes(buffer[start : start + size])
        del buffer[: start + size]
        return found

    async def next(self) -> Event:
        """The next event. Raises :class:`Closed` when a close frame or the end comes first."""
        while True:
            opcode, payload = await self.frame()
            if opcode == TEXT:
                event: Event = json.loads(payload)
                self.events.append(event)
                return event
            if opcode == PING:
                self.pings += 1
                if self.answers_pings:
                    self.write(frame(PONG, payload))
            elif opcode == PONG:
                self.pongs.append(payload)
            elif opcode == CLOSE:
                if not self.writer.is_closing():
                    self.write(frame(CLOSE, payload[:2]))
                (code,) = struct.unpack_from("!H", payload) if payload else (1005,)
                raise Closed(code, payload[2:].decode())

    async def until(
        self,
        type_: str | None = None,
        *,
        where: Callable[[Event], bool] = lambda _: True,
        timeout: float = WAIT_SECONDS,
        **fields: Any,
    ) -> Event:
        """The first event that fits, from those that came or are to come; others stay in the
        inbox. Fails when it does not come.
        """

        def fits(event: Event) -> bool:
            return (
                (type_ is None or event["type"] == type_)
                and all(event.get(name) == value for name, value in fields.items())
                and where(event)
            )

        for index, event in enumerate(self.inbox):
            if fits(event):
                return self.inbox.pop(index)
        try:
            async with asyncio.timeout(timeout):
                while not fits(event := await self.next()):
                    self.inbox.append(event)
        except TimeoutError:
            raise AssertionError(
                f"no {type_} {fields} within {timeout} s; the last of {len(self.events)} events: "
                f"{self.events[-5:]}"
            ) from None
        return event

    async def closed(self, timeout: float = WAIT_SECONDS) -> Closed:
        """Read on to the end of the connection; gives why it ended."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    self.inbox.append(await self.next())
        except Closed as end:
            return end
        except TimeoutError:
            raise AssertionError(f"not closed within {timeout} s: {self.events[-5:]}") from None

    async def ended(self, timeout: float = WAIT_SECONDS) -> None:
        """Wait for the end of the TCP stream, whatever comes before it."""
        async with asyncio.timeout(timeout):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(65_536):
                    pass

    def of(self, type_: str, channel_id: int | None = None) -> list[Event]:
        """Everything of one type that came so far."""
        return [
            event
            for event in self.events
            if event["type"] == type_
            and (channel_id is None or event.get("channel_id") == channel_id)
        ]

    # --- the end ---

    async def goodbye(self) -> int:
        """The close handshake, begun by the client; gives the code of the answer."""
        self.write(frame(CLOSE, struct.pack("!H", 1000)))
        code = (await self.closed()).code
        await self.drop()
        return code

    async def drop(self) -> None:
        """Cut the connection."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Server:
    """What tests ask of a node, wherever it runs."""

    port: int

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.http = httpx2.AsyncClient(
            timeout=WAIT_SECONDS, trust_env=False, limits=httpx2.Limits(max_connections=50)
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def tcp(self, **options: Any) -> Peer:
        """A connection on which nothing was said."""
        peer = await Peer.connect(self.port, **options)
        self.peers.append(peer)
        return peer

    async def open(
        self, target: str = "/ws", headers: Headers = (), *, host: str | None = None, **options: Any
    ) -> Peer:
        """Upgrade with exactly these headers. Raises :class:`Refused`."""
        peer = await self.tcp(**options)
        host = host or f"127.0.0.1:{self.port}"
        return await peer.upgrade(upgrade_head(target, headers, host=host))

    async def join(
        self, user_id: str, target: str = "/ws", headers: Headers = (), **options: Any
    ) -> Peer:
        """Connect a user; returns after ``hello`` and, where it follows, ``subscribed``."""
        peer = await self.open(
            target, {"Authorization": f"Bearer {token(user_id)}", **dict(headers)}, **options
        )
        hello = await peer.until("hello")
        assert hello["user_id"] == user_id
        if "channel_id=" in target:
            await peer.until("subscribed")
        return peer

    async def call(
        self, user_id: str | None, method: str, path: str, **options: Any
    ) -> httpx2.Response:
        """One REST request of a user."""
        headers = dict(options.pop("headers", {}))
        if user_id is not None:
            headers["Authorization"] = f"Bearer {token(user_id)}"
        return await self.http.request(method, self.url + path, headers=headers, **options)

    async def want(self, user_id: str | None, method: str, path: str, **options: Any) -> Any:
        """The same; fails unless it succeeds. Gives the JSON of the answer."""
        answer = await self.call(user_id, method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def channel(
        self, owner: str, name: str, visibility: str = "public", members: Iterable[str] = ()
    ) -> int:
        """A channel with its members; gives its id."""
        body = {"name": name, "visibility": visibility}
        made = await self.want(owner, "POST", "/channels", json=body)
        for member in members:
            await self.know(member)
            await self.want(
                owner, "POST", f"/channels/{made['id']}/members", json={"user_id": member}
            )
        found: int = made["id"]
        return found

    async def know(self, user_id: str) -> None:
        """Let the node make the user of a token."""
        await self.want(user_id, "GET", "/channels")

    async def history(self, user_id: str, channel_id: int) -> list[Event]:
        """All messages, oldest first, page by page."""
        found: list[Event] = []
        before: int | None = None
        while True:
            page = await self.want(
                user_id,
                "GET",
                f"/channels/{channel_id}/messages",
                params={"limit": 200} | ({} if before is None else {"before": before}),
            )
            found += page
            if len(page) < 200:
                return found[::-1]
            before = page[-1]["seq"]

    async def metric(self, name: str, **label: str) -> float:
        """The sum of one metric over all labels, or over those with this one."""
        text = (await self.http.get(f"{self.url}/metrics")).text
        rows = [
            value
            for labels, value in re.findall(
                rf"^{name}(?:\{{([^}}]*)\}})? (\S+)$", text, re.MULTILINE
            )
            if all(f'{key}="{wanted}"' in labels.split(",") for key, wanted in label.items())
        ]
        assert rows, f"there is no metric {name}"
        return sum(map(float, rows))

    async def metric_becomes(self, name: str, fits: Callable[[float], bool]) -> float:
        """Wait until a metric has such a value: it is refreshed once a second."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not fits(value := await self.metric(name)):
                await asyncio.sleep(0.05)
        return value

    async def leave(self) -> None:
        for peer in self.peers:
            await peer.drop()
        await self.http.aclose()


class Node(Server):
    """A node in this process and this event loop."""

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        super().__init__()
        self.config = Config(**{**QUICK, "addr": "127.0.0.1:0", "data_dir": data_dir, **settings})
        self.gateway = Gateway(self.config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        listeners = self.gateway.listen()
        # Whoever connects before the server runs waits in the backlog.
        listeners.service.listen(1024)
        self.port = listeners.service.getsockname()[1]
        self._serving = asyncio.create_task(self.gateway.serve(listeners))
        await self.want(None, "GET", "/readyz")

    def end(self) -> None:
        """Begin the end, as SIGTERM does."""
        self.gateway.end()

    async def stop(self) -> None:
        """Cut the clients, end the node and wait for it. A second call does nothing."""
        await self.leave()
        self.end()
        if self._serving is not None:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._serving


class Process(Server):
    """A node in a process of its own, as `storm serve` starts it."""

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        super().__init__()
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self.log_path = data_dir / f"log-{time.monotonic_ns()}"
        self._settings = {
            **QUICK,
            "addr": "127.0.0.1:0",
            "data_dir": data_dir,
            "log_format": "json",
            **settings,
        }
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        environment = {f"STORM_{n.upper()}": str(v) for n, v in self._settings.items()}
        with self.log_path.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "storm_gateway",
                "serve",
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(60):
            while (found := re.search(r"listens on 127\.0\.0\.1:(\d+)", self.log)) is None:
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.02)
            self.port = int(found[1])
            while True:
                try:
                    await self.want(None, "GET", "/readyz")
                except httpx2.TransportError:
                    await asyncio.sleep(0.02)
                else:
                    return

    @property
    def log(self) -> str:
        """All that the node has printed."""
        return self.log_path.read_text()

    async def kill(self) -> None:
        """`kill -9`."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exit_status(self) -> int:
        async with asyncio.timeout(60):
            return await self.process.wait()

    async def stop(self) -> None:
        await self.leave()
        if self.process.returncode is None:
            self.terminate()
            await self.exit_status()
        # Shown with a test that fails.
        sys.stdout.write(self.log)


async def all_of(*work: Any) -> list[Any]:
    """Wait for all at once; the first failure is everybody's."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
    return [task.result() for task in tasks]
