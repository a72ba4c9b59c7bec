"""The WebSocket engine over real sockets, on both event loops; time is ``engine.second()``."""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from storm_gateway.connections.websocket import Engine, State, WebSocket
from storm_gateway.protocol.websocket import Opcode, close_frame, frame, read_close, text_frame

MASK = b"\x9c\x01\xf2\x55"
Frames = list[tuple[int, bytes]]


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A client frame of up to 64 KiB."""
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    body = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes((fin << 7 | opcode,)) + size + MASK + body


def frames_of(data: bytes | bytearray) -> Frames:
    """Server frames: unmasked, whole, nothing left over."""
    found: Frames = []
    at = 0
    while at < len(data):
        first, length = data[at], data[at + 1]
        assert first & 0xF0 == 0x80
        at += 2
        if length >= 126:
            wide = 2 if length == 126 else 8
            length = int.from_bytes(data[at : at + wide], "big")
            at += wide
        assert at + length <= len(data), "a frame is cut off"
        found.append((first & 0x0F, bytes(data[at : at + length])))
        at += length
    return found


class Heard(WebSocket):
    """Remembers what it heard."""

    __slots__ = ("closed", "controls", "made", "said")

    def __init__(self) -> None:
        super().__init__()
        self.said: Frames = []
        self.controls = 0
        self.closed = 0
        self.made = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.opened()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.made.set_result(None)

    def on_text(self, data: bytes) -> None:
        self.said.append((Opcode.TEXT, data))

    def on_binary(self, data: bytes) -> None:
        self.said.append((Opcode.BINARY, data))

    def on_control(self) -> bool:
        self.controls += 1
        return True

    def on_closed(self) -> None:
        assert not self.is_open
        self.closed += 1


class Client:
    """The other end: a bare socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.loop = asyncio.get_running_loop()

    async def say(self, *data: bytes) -> None:
        await self.loop.sock_sendall(self.sock, b"".join(data))

    async def read(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            more = await asyncio.wait_for(self.loop.sock_recv(self.sock, size - len(found)), 10)
            assert more, f"the end after {len(found)} of {size} bytes"
            found += more
        return bytes(found)

    async def until(self, end: bytes) -> bytearray:
        """Everything up to bytes after which nothing is said."""
        found = bytearray()
        while not found.endswith(end):
            more = await asyncio.wait_for(self.loop.sock_recv(self.sock, 65_536), 10)
            assert more, f"the end after {len(found)} bytes"
            found += more
        return found

    async def rest(self) -> bytearray:
        """Everything up to the end of the connection, by a close or a reset."""
        found = bytearray()
        try:
            while more := await asyncio.wait_for(self.loop.sock_recv(self.sock, 65_536), 10):
                found += more
        except ConnectionError:
            pass
        return found


class Listener:
    """An engine, and pairs of sockets with it at one end."""

    def __init__(self) -> None:
        self.engine = Engine(
            message_bytes=65_536, ephemeral_bytes=200_000, close_bytes=1_000_000, close_seconds=3
        )
        self.bound = type("BoundHeard", (Heard,), {"__slots__": (), "engine": self.engine})
        self.sockets: list[socket.socket] = []
        self.websockets: list[Heard] = []

    async def connect(self) -> tuple[Heard, Client]:
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        self.sockets.append(theirs)
        _, websocket = await asyncio.get_running_loop().create_connection(self.bound, sock=ours)
        self.websockets.append(websocket)
        return websocket, Client(theirs)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    yield listener
    for websocket in listener.websockets:
        websocket.abort()
        await gone(websocket)
    for sock in listener.sockets:
        sock.close()
    # Whatever a test did, nothing is left behind.
    assert listener.engine.outbox_bytes == 0
    assert not listener.engine.closing
    assert all(websocket.closed == 1 for websocket in listener.websockets)


async def gone(websocket: Heard) -> None:
    await asyncio.wait_for(asyncio.shield(websocket.made), 10)


def backlog(websocket: WebSocket) -> int:
    """Bytes that wait; -1: the connection keeps up and holds no outbox."""
    return -1 if websocket.outbox is None else websocket.outbox.bytes


async def until(true: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 there is no event for what a test looks at
            await asyncio.sleep(0.001)


async def round_trip(client: Client) -> Frames:
    """All that was said before is handled: the answer to a ping comes after it."""
    await client.say(masked(Opcode.PING, b"round trip"))
    return frames_of(await client.until(frame(Opcode.PONG, b"round trip")))[:-1]


# --- messages ---


async def test_messages_arrive_and_answers_go_back(listener: Listener) -> None:
    websocket, client = await listener.connect()
    await client.say(masked(Opcode.TEXT, b"one"), masked(Opcode.BINARY, b"\xff"))
    await until(lambda: len(websocket.said) == 2)
    assert websocket.said == [(Opcode.TEXT, b"one"), (Opcode.BINARY, b"\xff")]
    websocket.send(text_frame(b"two"))
    websocket.deliver(text_frame(b"three") * 2, text_frame(b"three"), text_frame(b"three"))
    websocket.send(text_frame(b"four"))
    expected = b"".join(text_frame(text) for text in (b"two", b"three", b"three", b"four"))
    assert await client.read(len(expected)) == expected


@pytest.mark.parametrize("payload", [b"", b"x", b"\x00\xff" * 62, b"y" * 125])
async def test_a_ping_is_answered_with_its_own_payload(listener: Listener, payload: bytes) -> None:
    websocket, client = await listener.connect()
    await client.say(masked(Opcode.PING, payload))
    assert await client.read(2 + len(payload)) == frame(Opcode.PONG, payload)
    assert websocket.controls == 1
    assert websocket.said == []


async def test_a_pong_that_nobody_asked_for_is_no_message(listener: Listener) -> None:
    websocket, client = await listener.connect()
    await client.say(masked(Opcode.PONG, b"hello"))
    assert await round_trip(client) == []
    assert websocket.controls == 2
    assert websocket.said == []
    assert websocket.is_open


async def test_half_frames_of_many_connections_never_mix(listener: Listener) -> None:
    choice = random.Random(6455)
    pairs = [await listener.connect() for _ in range(8)]
    expected: list[Frames] = []
    streams: list[bytes] = []
    for number in range(len(pairs)):
        said: Frames = []
        stream = b""
        for turn in range(40):
            payload = b"%d:%d:" % (number, turn) * choice.randint(1, 40)
            opcode = choice.choice([Opcode.TEXT, Opcode.BINARY])
            cut = choice.randint(0, len(payload))
            if choice.random() < 0.5:
                stream += masked(opcode, payload)
            else:
                stream += masked(opcode, payload[:cut], fin=False) + masked(0, payload[cut:])
            said.append((opcode, payload))
        expected.append(said)
        streams.append(stream)
    while any(streams):
        number = choice.choice([n for n, stream in enumerate(streams) if stream])
        size = choice.choice([1, 2, 3, 7, 60, 300, 1_000])
        # Straight into the protocol: the kernel would join the pieces.
        pairs[number][0].data_received(streams[number][:size])
        streams[number] = streams[number][size:]
    assert [websocket.said for websocket, _ in pairs] == expected
    assert all(websocket.reader is None for websocket, _ in pairs), "an idle one holds a reader"


async def test_a_violation_of_one_does_not_touch_the_next(listener: Listener) -> None:
    bad, bad_client = await listener.connect()
    good, good_client = await listener.connect()
    await bad_client.say(masked(Opcode.TEXT, b"\xff"))
    await until(lambda: bad.broken)
    await good_client.say(masked(Opcode.TEXT, b"fine"))
    assert await round_trip(good_client) == []
    assert good.said == [(Opcode.TEXT, b"fine")]


async def test_the_clock_marks_who_was_heard(listener: Listener) -> None:
    silent, _ = await listener.connect()
    loud, client = await listener.connect()
    for _ in range(5):
        listener.engine.second()
    await round_trip(client)
    assert (silent.seen, loud.seen) == (0, 5)


# --- the close handshake ---


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_a_close_of_the_peer_is_echoed_and_ends_the_connection(
    listener: Listener, code: int
) -> None:
    websocket, client = await listener.connect()
    await client.say(masked(Opcode.CLOSE, code.to_bytes(2, "big") + b"bye"))
    ((opcode, payload),) = frames_of(await client.rest())
    assert opcode == Opcode.CLOSE
    assert read_close(payload) == code
    await gone(websocket)
    assert websocket.close_code == code
    assert websocket.closed == 1


async def test_a_close_without_a_code_is_answered_without_one(listener: Listener) -> None:
    websocket, client = await listener.connect()
    await client.say(masked(Opcode.CLOSE))
    assert await client.rest() == b"\x88\x00"
    await gone(websocket)
    assert websocket.close_code == 1005


async def test_our_close_ends_when_the_peer_answers(listener: Listener) -> None:
    websocket, client = await listener.connect()
    websocket.close(1012, "the node restarts")
    assert websocket.closed == 1, "nobody delivers to it from here on"
    assert not websocket.is_open
    expected = close_frame(1012, "the node restarts")
    assert await client.read(len(expected)) == expected
    assert websocket in listener.engine.closing
    await client.say(masked(Opcode.CLOSE, (1012).to_bytes(2, "big")))
    assert await client.rest() == b""
    await gone(websocket)
    assert websocket.close_code == 1012
    assert not listener.engine.closing


async def test_a_peer_that_never_answers_is_cut_in_time(listener: Listener) -> None:
    engine = listener.engine
    websocket, client = await listener.connect()
    engine.second()
    websocket.close(4500)
    for _ in range(engine.close_seconds - 1):
        engine.second()
    assert not websocket.transport.is_closing()
    engine.second()
    assert websocket.transport.is_closing()
    await gone(websocket)
    assert frames_of(await client.rest()) == [(Opcode.CLOSE, (4500).to_bytes(2, "big"))]


async def test_only_those_whose_time_is_up_are_cut(listener: Listener) -> None:
    engine = listener.engine
    early, _ = await listener.connect()
    late, _ = await listener.connect()
    untouched, _ = await listener.connect()
    early.close(1012)
    engine.second()
    engine.second()
    late.close(1012)
    engine.second()
    await gone(early)
    assert [late.transport.is_closing(), untouched.transport.is_closing()] == [False, False]
    engine.second()
    engine.second()
    await gone(late)
    assert untouched.is_open


async def test_a_peer_that_closes_but_takes_nothing_is_cut_too(listener: Listener) -> None:
    websocket, client = await listener.connect()
    while backlog(websocket) < 0:
        websocket.send(text_frame(b"x" * 10_000))
    # The transport itself holds bytes that the peer does not read, so close() cannot end.
    await client.say(masked(Opcode.CLOSE, b"\x03\xe8"))
    await until(lambda: websocket.state is State.CLOSED)
    await asyncio.sleep(0)
    assert not websocket.made.done()
    for _ in range(listener.engine.close_seconds):
        listener.engine.second()
    await gone(websocket)


async def test_what_comes_after_the_close_frame_of_the_peer_is_ignored(listener: Listener) -> None:
    websocket, client = await listener.connect()
    await client.say(
        masked(Opcode.TEXT, b"before"),
        masked(Opcode.CLOSE, b"\x03\xe8"),
        masked(Opcode.TEXT, b"after"),
        masked(Opcode.PING, b"after"),
        masked(Opcode.CLOSE, b"\x03\xe9"),
    )
    assert frames_of(await client.rest()) == [(Opcode.CLOSE, b"\x03\xe8")]
    await gone(websocket)
    assert websocket.said == [(Opcode.TEXT, b"before")]
    assert websocket.close_code == 1000


async def test_what_the_peer_says_before_it_answers_our_close_is_ignored(
    listener: Listener,
) -> None:
    websocket, client = await listener.connect()
    websocket.close(1012)
    await client.say(masked(Opcode.TEXT, b"late"), masked(Opcode.PING, b"late"))
    await client.say(masked(Opcode.CLOSE, b"\x03\xf4"))
    assert frames_of(await client.rest()) == [(Opcode.CLOSE, (1012).to_bytes(2, "big"))]
    await gone(websocket)
    assert websocket.said == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(masked(3, b"x"), 1002, id="reserved opcode"),
        pytest.param(b"\x81\x02hi", 1002, id="unmasked"),
        pytest.param(masked(Opcode.TEXT, b"\xff"), 1007, id="no UTF-8"),
        pytest.param(b"\x82\xff" + (65_537).to_bytes(8, "big") + MASK, 1009, id="too long"),
        pytest.param(masked(Opcode.CLOSE, b"\x03"), 1002, id="half a close code"),
        pytest.param(masked(Opcode.CLOSE, b"\x03\xed"), 1002, id="close code 1005"),
        pytest.param(masked(Opcode.CLOSE, b"\x03\xe8\xff"), 1007, id="a close reason, no UTF-8"),
    ],
)
async def test_a_violation_is_told_and_ends_the_connection(
    listener: Listener, data: bytes, code: int
) -> None:
    websocket, client = await listener.connect()
    await client.say(masked(Opcode.TEXT, b"before"), data, masked(Opcode.TEXT, b"after"))
    ((opcode, payload),) = frames_of(await client.rest())
    assert opcode == Opcode.CLOSE
    assert read_close(payload) == code
    assert websocket.said == [(Opcode.TEXT, b"before")]
    assert websocket.close_code == code
    # What the peer goes on to say is thrown away until its time is up.
    await client.say(masked(Opcode.TEXT, b"more") * 100)
    for _ in range(listener.engine.close_seconds):
        listener.engine.second()
    await gone(websocket)
    assert websocket.said == [(Opcode.TEXT, b"before")]
    assert websocket.closed == 1


async def test_a_violation_after_our_close_frame_ends_at_once(listener: Listener) -> None:
    websocket, client = await listener.connect()
    websocket.close(1012)
    await client.say(masked(3, b"x"))
    await gone(websocket)
    assert frames_of(await client.rest()) == [(Opcode.CLOSE, (1012).to_bytes(2, "big"))]
    assert websocket.close_code == 1012


async def test_a_peer_that_vanishes_is_gone_without_a_goodbye(listener: Listener) -> None:
    websocket, client = await listener.connect()
    client.sock.close()
    await gone(websocket)
    assert websocket.close_code == 1006
    assert websocket.closed == 1
    assert websocket not in listener.engine.closing


async def test_half_a_message_dies_with_its_connection(listener: Listener) -> None:
    websocket, client = await listener.connect()
    await client.say(masked(Opcode.TEXT, b"half", fin=False))
    await until(lambda: websocket.reader is not None)
    client.sock.close()
    await gone(websocket)
    assert websocket.said == []
    assert websocket.reader is None
    other, other_client = await listener.connect()
    await other_client.say(masked(Opcode.TEXT, b"whole"))
    await until(lambda: other.said == [(Opcode.TEXT, b"whole")])


def write_everything(websocket: WebSocket) -> None:
    websocket.send(text_frame(b"late"))
    websocket.deliver(text_frame(b"late"), text_frame(b"late"), b"")
    websocket.deliver(text_frame(b"late") * 2, text_frame(b"late"), text_frame(b"late"))
    websocket.close(4000, "again")


async def test_writing_after_the_close_is_harmless(listener: Listener) -> None:
    websocket, client = await listener.connect()
    websocket.close(1012)
    write_everything(websocket)
    await client.say(masked(Opcode.CLOSE, b"\x03\xf4"))
    await gone(websocket)
    write_everything(websocket)
    websocket.resume_writing()
    assert frames_of(await client.rest()) == [(Opcode.CLOSE, (1012).to_bytes(2, "big"))]
    assert websocket.close_code == 1012


# --- slow readers ---


def numbered(number: int, kind: bytes, size: int = 1_000) -> bytes:
    return text_frame((kind + b"%06d " % number).ljust(size, b"."))


def pour(websocket: WebSocket, count: int, start: int = 0, *, every: int = 2) -> list[bytes]:
    """Deliver durable frames, an ephemeral one with each ``every``-th; returns the durable."""
    durable = [numbered(number, b"durable ") for number in range(start, start + count)]
    for number, data in enumerate(durable):
        ephemeral = b"" if number % every else numbered(number, b"typing ")
        websocket.deliver(data + ephemeral, data, ephemeral)
    return durable


async def test_a_slow_reader_loses_typing_first_and_no_message(listener: Listener) -> None:
    engine = listener.engine
    websocket, client = await listener.connect()
    durable = pour(websocket, 600)
    assert backlog(websocket) >= 0
    assert engine.ephemeral_dropped > 100
    assert engine.outbox_bytes == backlog(websocket)
    assert engine.ephemeral_bytes < engine.outbox_bytes <= engine.close_bytes
    assert engine.slow_consumers == 0
    assert websocket.is_open
    # It reads again: every durable frame, whole and in order. New ones come after the old ones.
    found = bytearray()
    while backlog(websocket) >= 0 or len(found) < len(b"".join(durable)):
        found += await client.read(1)
        try:
            found += client.sock.recv(30_000)
        except BlockingIOError:
            await asyncio.sleep(0)
        if len(durable) == 600 and len(found) > 300_000:
            durable += pour(websocket, 50, 600, every=100_000)
    heard = [frame(opcode, payload) for opcode, payload in frames_of(found + await tail(client))]
    assert [data for data in heard if b"durable" in data] == durable
    assert sum(b"typing" in data for data in heard) + engine.ephemeral_dropped == 301
    assert engine.outbox_bytes == 0


async def test_typing_that_waits_makes_room_for_messages(listener: Listener) -> None:
    engine = listener.engine
    websocket, client = await listener.connect()
    durable = pour(websocket, 30, every=1)
    waiting = websocket.outbox
    assert waiting is not None
    queued, before = waiting.ephemeral, waiting.bytes
    assert queued > 10
    assert engine.ephemeral_dropped == 0
    # Messages alone pass the bound for ephemeral frames: those that wait already are dropped.
    durable += pour(websocket, (engine.ephemeral_bytes - before) // 1_000 + 1, 30, every=100_000)
    assert waiting.ephemeral == 0
    assert engine.ephemeral_dropped >= queued
    assert engine.outbox_bytes == waiting.bytes < engine.ephemeral_bytes
    heard = [frame(opcode, payload) for opcode, payload in frames_of(await tail(client))]
    assert [data for data in heard if b"durable" in data] == durable
    assert sum(b"typing" in data for data in heard) + engine.ephemeral_dropped == 31


async def tail(client: Client) -> bytes:
    """What still is on its way, up to the answer to a ping."""
    await client.say(masked(Opcode.PING, b"the end"))
    return bytes(await client.until(frame(Opcode.PONG, b"the end")))


async def test_a_backlog_of_several_writes_that_all_fit_is_gone_at_once(
    listener: Listener,
) -> None:
    """The transport calls again only when it kept something: then nobody would go on."""
    websocket, client = await listener.connect()
    durable = pour(websocket, 100, every=100_000)
    waiting = backlog(websocket)
    assert waiting > 64 * 1024, "more than one write"
    # Now the kernel has room for everything.
    ours = websocket.transport.get_extra_info("socket")
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
    heard = [frame(opcode, payload) for opcode, payload in frames_of(await tail(client))]
    assert [data for data in heard if b"durable" in data] == durable
    assert backlog(websocket) == -1


async def test_a_reader_that_stays_too_slow_is_closed_with_4001(listener: Listener) -> None:
    engine = listener.engine
    websocket, client = await listener.connect()
    durable = pour(websocket, 900, every=100_000)
    assert engine.slow_consumers == 0
    durable += pour(websocket, 300, 900, every=100_000)
    assert not websocket.is_open
    assert websocket.close_code == 4001
    assert (engine.slow_consumers, engine.outbox_bytes) == (1, 0)
    assert backlog(websocket) < 0
    # What had been handed to the kernel comes whole, and the close frame after it.
    read = asyncio.create_task(client.rest())
    await until(lambda: not websocket.transport.get_write_buffer_size())
    await client.say(masked(Opcode.CLOSE, (4001).to_bytes(2, "big")))
    heard = frames_of(await read)
    assert heard[-1][0] == Opcode.CLOSE
    assert read_close(heard[-1][1]) == 4001
    told = [frame(opcode, payload) for opcode, payload in heard[:-1] if b"durable" in payload]
    assert told == durable[: len(told)]
    assert 0 < len(told) < len(durable)


async def test_a_slow_reader_that_never_reads_again_is_cut(listener: Listener) -> None:
    websocket, _client = await listener.connect()
    pour(websocket, 1_500)
    assert websocket.close_code == 4001
    for _ in range(listener.engine.close_seconds):
        listener.engine.second()
    await gone(websocket)
    assert listener.engine.outbox_bytes == 0


async def test_a_slow_reader_that_vanishes_gives_its_bytes_back(listener: Listener) -> None:
    websocket, client = await listener.connect()
    pour(websocket, 100)
    assert listener.engine.outbox_bytes > 0
    client.sock.close()
    await gone(websocket)
    assert listener.engine.outbox_bytes == 0
    assert websocket.close_code == 1006


async def test_one_slow_reader_does_not_hold_up_the_others(listener: Listener) -> None:
    slow, _ = await listener.connect()
    quick, client = await listener.connect()
    for number in range(100):
        data = numbered(number, b"durable ")
        slow.deliver(data, data, b"")
        quick.deliver(data, data, b"")
        assert await client.read(len(data)) == data
    assert backlog(slow) >= 0
    assert backlog(quick) < 0


# --- waiting for room ---


async def test_who_waits_for_room_waits_until_the_client_has_read(listener: Listener) -> None:
    websocket, client = await listener.connect()
    assert await websocket.writable()
    sent = pour(websocket, 100, every=100_000)
    assert backlog(websocket) >= 0
    waiting = [asyncio.create_task(websocket.writable()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    waiting[0].cancel()  # one that gives up does not take the others with it
    first = numbered(0, b"typing ")
    assert (await client.read(len(sent[0]) + len(first))) == sent[0] + first
    assert await client.read(sum(map(len, sent[1:]))) == b"".join(sent[1:])
    assert await asyncio.wait_for(asyncio.gather(*waiting[1:]), 10) == [True, True]
    assert waiting[0].cancelled()
    assert await websocket.writable()


@pytest.mark.parametrize("end", ["our close", "their end", "abort"])
async def test_who_waits_for_room_is_told_when_the_connection_ends(
    listener: Listener, end: str
) -> None:
    websocket, client = await listener.connect()
    pour(websocket, 100)
    waiting = asyncio.create_task(websocket.writable())
    await asyncio.sleep(0)
    if end == "our close":
        websocket.close(1012)
    elif end == "abort":
        websocket.abort()
    else:
        client.sock.close()
    assert await asyncio.wait_for(waiting, 10) is False
    assert await websocket.writable() is False


# --- many answers of one turn are one write ---


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What goes straight to the kernel."""
    found: list[bytes] = []
    real = os.write

    def write(fd: int, data: bytes) -> int:
        found.append(bytes(data))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    return found


def own(writes: list[bytes]) -> list[bytes]:
    """Without what the event loop writes to wake itself."""
    return [data for data in writes if len(data) > 1 and data[0] & 0xF0 == 0x80]


async def test_answers_to_what_came_together_leave_together(
    listener: Listener, writes: list[bytes]
) -> None:
    _, client = await listener.connect()
    await client.say(masked(Opcode.PING, b"one") + masked(Opcode.PING, b"two"))
    both = frame(Opcode.PONG, b"one") + frame(Opcode.PONG, b"two")
    assert await client.read(len(both)) == both
    assert own(writes) == [both]


async def test_nothing_waits_for_another_turn(listener: Listener, writes: list[bytes]) -> None:
    websocket, client = await listener.connect()
    assert websocket.cork()
    assert not websocket.cork(), "whoever corked first ends it"
    websocket.send(text_frame(b"a"))
    websocket.deliver(text_frame(b"b"), b"", text_frame(b"b"))
    assert own(writes) == []
    websocket.uncork()
    assert own(writes) == [text_frame(b"a") + text_frame(b"b")]
    websocket.send(text_frame(b"c"))
    assert frames_of(await client.until(text_frame(b"c"))) == [(1, b"a"), (1, b"b"), (1, b"c")]


async def test_one_corked_connection_holds_up_no_other(
    listener: Listener, writes: list[bytes]
) -> None:
    first, _ = await listener.connect()
    second, client = await listener.connect()
    assert first.cork()
    second.send(text_frame(b"now"))
    assert frames_of(await client.until(text_frame(b"now"))) == [(1, b"now")]
    first.uncork()
    assert own(writes) == [text_frame(b"now")]


async def test_a_close_comes_after_what_was_gathered(listener: Listener) -> None:
    websocket, client = await listener.connect()
    assert websocket.cork()
    websocket.send(text_frame(b"last words"))
    websocket.close(1000)
    assert frames_of(await client.until(close_frame(1000))) == [
        (Opcode.TEXT, b"last words"),
        (Opcode.CLOSE, close_frame(1000)[2:]),
    ]
    websocket.uncork()


async def test_what_is_gathered_has_the_bounds_of_an_outbox(listener: Listener) -> None:
    websocket, client = await listener.connect()
    assert websocket.cork()
    said = [b"%04d" % number + bytes(30_000) for number in range(20)]
    for payload in said:
        websocket.send(text_frame(payload))
    assert listener.engine.cork_bytes <= 2 * 65_536
    websocket.uncork()
    assert backlog(websocket) > 0
    websocket.send(text_frame(b"end"))
    heard = frames_of(await client.until(text_frame(b"end")))
    assert [payload for _, payload in heard] == [*said, b"end"]


async def test_a_message_that_fails_leaves_nothing_corked(listener: Listener) -> None:
    websocket, client = await listener.connect()

    def fail(data: bytes) -> None:
        raise RuntimeError("this handler is broken")

    listener.bound.on_text = lambda self, data: fail(data)
    with pytest.raises(RuntimeError, match="broken"):
        websocket.data_received(masked(Opcode.TEXT, b"a") + masked(Opcode.TEXT, b"b"))
    assert listener.engine.corked is None
    websocket.send(text_frame(b"after"))
    assert frames_of(await client.until(text_frame(b"after"))) == [(1, b"after")]
