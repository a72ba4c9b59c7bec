"""The fault proxy between a real client and a real server, both on plain sockets."""

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvloop

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.proxy import Proxy
from storm_gateway.stack.pump import CHUNK_BYTES, Direction, Ear, Link, Pump
from storm_gateway.stack.toxics import Toxics

WAIT_SECONDS = 10.0


class EchoServer:
    """Sends back what it gets; counts what it got and how connections ended."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        self.got = bytearray()
        self.pieces: list[bytes] = []
        self.ends: list[str] = []
        self.reads = threading.Event()
        self.reads.set()
        """Cleared: it reads nothing."""
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._start(self._serve, self.listener.accept()[0])

    def _serve(self, connection: socket.socket) -> None:
        end = "close"
        with connection:
            try:
                while self.reads.wait(WAIT_SECONDS) and (data := connection.recv(65_536)):
                    self.got += data
                    self.pieces.append(data)
                    connection.sendall(data)
            except OSError:
                end = "reset"
        self.ends.append(end)

    def close(self) -> None:
        self.reads.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self._threads:
            thread.join(WAIT_SECONDS)


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: EchoServer) -> Iterator[Proxy]:
    with Proxy(echo.address) as proxy:
        yield proxy


@contextlib.contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection((proxy.host, proxy.port), WAIT_SECONDS) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def receive(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        if not part:
            break
        data += part
    return data


def seconds_of(client: socket.socket, payload: bytes = b"hello") -> float:
    begin = time.monotonic()
    client.sendall(payload)
    assert receive(client, len(payload)) == payload
    return time.monotonic() - begin


def says_nothing(client: socket.socket, seconds: float) -> bool:
    client.settimeout(seconds)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(WAIT_SECONDS)
    return False


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_a_good_network_passes_everything_unchanged_both_ways(proxy: Proxy) -> None:
    payload = bytes(range(256)) * 2_000
    got = bytearray()
    with connected(proxy) as client:
        sender = threading.Thread(target=client.sendall, args=(payload,))
        sender.start()
        got += receive(client, len(payload))
        sender.join()
    assert bytes(got) == payload
    # Counted just after it was passed on.
    until(lambda: proxy.forwarded == 2 * len(payload), "all is counted")
    assert proxy.accepted == 1


def test_the_end_of_a_connection_is_passed_on(proxy: Proxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        seconds_of(client)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    until(lambda: echo.ends == ["close"], "the server sees no end")
    until(lambda: proxy.connections == 0, "the proxy keeps the connection")


def test_latency_delays_each_way_and_leaves_throughput_and_order(proxy: Proxy) -> None:
    with connected(proxy) as client:
        proxy.harm(Toxics(latency_seconds=0.2, jitter_seconds=0.1))
        assert 0.2 <= seconds_of(client) < WAIT_SECONDS
        # One after another they would take at least 20 times as long.
        begin = time.monotonic()
        sent = b"".join(b"%04d" % number for number in range(20))
        for number in range(20):
            client.sendall(b"%04d" % number)
            time.sleep(0.002)
        assert receive(client, len(sent)) == sent
        assert time.monotonic() - begin < 2.0


def test_what_comes_after_the_harm_arrives_after_what_was_held_back(proxy: Proxy) -> None:
    with connected(proxy) as client:
        for number in range(5):
            proxy.harm(Toxics(latency_seconds=0.2))
            client.sendall(b"held %d " % number)
            assert says_nothing(client, 0.05)
            proxy.heal()
            client.sendall(b"next %d " % number)
            assert receive(client, 14) == b"held %d next %d " % (number, number)


def test_latency_of_one_way_leaves_the_other(proxy: Proxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        proxy.harm(answers=Toxics(latency_seconds=0.5))
        begin = time.monotonic()
        client.sendall(b"hello")
        until(lambda: bytes(echo.got) == b"hello", "the request does not arrive")
        assert time.monotonic() - begin < 0.4
        assert receive(client, 5) == b"hello"
        assert time.monotonic() - begin >= 0.5


def test_a_stall_holds_back_everything_and_loses_nothing(proxy: Proxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        seconds_of(client)
        proxy.stall()
        client.sendall(b"later")
        assert says_nothing(client, 0.2)
        assert bytes(echo.got) == b"hello"
        with connected(proxy) as another:  # accepted, and nothing more
            another.sendall(b"too")
            assert says_nothing(another, 0.1)
            proxy.heal()
            assert receive(another, 3) == b"too"
        assert receive(client, 5) == b"later"


def test_a_stall_may_be_one_way(proxy: Proxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        proxy.harm(answers=Toxics(stalled=True))
        client.sendall(b"hello")
        until(lambda: bytes(echo.got) == b"hello", "the request does not arrive")
        assert says_nothing(client, 0.1)
        proxy.heal()
        assert receive(client, 5) == b"hello"


def test_a_stalled_connection_can_be_cut(proxy: Proxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        seconds_of(client)
        proxy.stall()
        client.sendall(b"lost")
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    until(lambda: len(echo.ends) == 1, "the server sees no end")
    assert bytes(echo.got) == b"hello"


def test_down_resets_what_is_open_and_refuses_what_is_new(proxy: Proxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        seconds_of(client)
        proxy.down()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    until(lambda: echo.ends == ["reset"], "the server sees no reset")
    with pytest.raises(ConnectionRefusedError), connected(proxy):
        pass
    proxy.up()
    with connected(proxy) as client:
        seconds_of(client)


def test_pieces_are_as_small_as_they_are_asked_to_be(proxy: Proxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        proxy.harm(requests=Toxics(slice_bytes=1, slice_seconds=0.01))
        begin = time.monotonic()
        client.sendall(b"0123456789")
        assert receive(client, 10) == b"0123456789"
        assert time.monotonic() - begin >= 0.09
    assert len(echo.pieces) > 3


def test_bandwidth_is_held_to_its_limit(proxy: Proxy) -> None:
    with connected(proxy) as client:
        proxy.harm(answers=Toxics(bytes_per_second=20_000))
        took = seconds_of(client, bytes(10_000))
    assert 0.4 <= took < 3.0


def test_after_limited_data_the_connection_is_reset(proxy: Proxy) -> None:
    with connected(proxy) as client:
        proxy.harm(answers=Toxics(limit_bytes=7))
        client.sendall(b"0123456789")
        got = b""
        ended = "never"
        while ended == "never":
            try:
                part = client.recv(1)
                ended = "never" if part else "closed"
                got += part
            except ConnectionResetError:
                ended = "reset"
    assert ended == "reset"
    assert len(got) <= 7


def test_a_close_may_take_its_time(proxy: Proxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        seconds_of(client)
        proxy.harm(requests=Toxics(slow_close_seconds=0.3))
        begin = time.monotonic()
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        assert time.monotonic() - begin >= 0.3


def test_what_is_held_back_is_bounded(proxy: Proxy, echo: EchoServer) -> None:
    proxy.harm(requests=Toxics(stalled=True))
    with connected(proxy) as client:
        client.setblocking(False)
        sent = 0
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 0.5:
            try:
                sent += client.send(bytes(65_536))
                quiet_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            assert sent < 64 * 1024 * 1024, "it takes in whatever is sent"
        client.setblocking(True)


def test_an_end_for_a_side_that_is_gone_by_then_is_no_error() -> None:
    async def end() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(*address)
        ear = Ear(CHUNK_BYTES)
        pump = Pump(Direction(), random.Random(7), ear, writer, Link(writer))
        ear.reader.feed_eof()
        writer.transport.abort()
        await pump.run()
        assert pump._passed == 0
        server.close()
        await server.wait_closed()

    uvloop.run(end())


def test_a_target_that_refuses_ends_the_connection_and_may_come_back(echo: EchoServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody: tuple[str, int] = gone.getsockname()
    with Proxy(nobody) as proxy:
        # It may happen before the client knows that it is connected.
        with contextlib.suppress(ConnectionResetError), connected(proxy) as client:
            assert client.recv(1) == b""
        proxy.target = echo.address
        with connected(proxy) as client:
            seconds_of(client)


def test_an_address_in_a_url_is_replaced_by_its_own(proxy: Proxy, echo: EchoServer) -> None:
    host, port = echo.address
    url = f"postgresql://storm:secret@{host}:{port}/storm"
    assert proxy.instead_of(url) == f"postgresql://storm:secret@127.0.0.1:{proxy.port}/storm"


def test_a_port_in_use_is_refused_with_a_reason(proxy: Proxy) -> None:
    with pytest.raises(StackError, match=f"cannot listen on 127.0.0.1:{proxy.port}"):
        Proxy(proxy.target, port=proxy.port).start()
    with pytest.raises(StackError, match="not started"):
        Proxy(proxy.target).cut()
