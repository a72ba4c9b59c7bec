"""The running half of the client against servers that behave as no node does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from storm_gateway.client import (
    AuthenticationError,
    Disconnected,
    EndedError,
    GatewayClient,
    RefusedError,
    Rewound,
)
from storm_gateway.client.backoff import Backoff
from storm_gateway.protocol.codec import decode_command, encode
from storm_gateway.protocol.commands import Authenticate, Message, Subscribe
from storm_gateway.protocol.events import (
    Ack,
    Error,
    Heartbeat,
    Hello,
    Keepalive,
    Limits,
    MessageEvent,
    Reconnect,
    Subscribed,
    TokenExpiring,
)

HELLO = Hello("c1", "alice", "n1", Keepalive(30, 90, 30), Limits(4_000, 65_536, 1e6, 10**6, 9, 9))
Script = Callable[[ServerConnection, int], Awaitable[None]]
TIME = "2026-01-01T00:00:00Z"


async def say(socket: ServerConnection, *events: object) -> None:
    for event in events:
        await socket.send(encode(event), text=True)


@asynccontextmanager
async def server(script: Script) -> AsyncIterator[str]:
    """Runs ``script(socket, number of the connection)`` for each connection."""
    count = 0

    async def handle(socket: ServerConnection) -> None:
        nonlocal count
        count += 1
        await script(socket, count)

    async with serve(handle, "127.0.0.1", 0, close_timeout=1) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        yield f"http://127.0.0.1:{port}"


def client_of(url: str) -> GatewayClient:
    return GatewayClient(url, token="given", backoff=Backoff(0.01, 0.02))


async def events_of(client: GatewayClient, kind: type) -> object:
    async with asyncio.timeout(20):
        async for event in client.events():
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__} came")


async def test_a_server_that_does_not_say_hello_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storm_gateway.client.link.HELLO_SECONDS", 0.05)

    async def script(socket: ServerConnection, number: int) -> None:
        await socket.send("{}")
        if number == 2:
            await say(socket, HELLO)
        await socket.wait_closed()

    async with server(script) as url, client_of(url) as client:
        lost = await events_of(client, Disconnected)
        assert isinstance(lost, Disconnected)
        assert "hello" in lost.reason


@pytest.mark.parametrize(("code", "again"), [(1011, True), (4001, True), (1002, False)])
async def test_the_close_code_says_whether_to_come_back(code: int, again: bool) -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await say(socket, HELLO)
        if number == 1:
            await socket.close(code, "because")
        await socket.wait_closed()

    async with server(script) as url:
        client = await client_of(url).__aenter__()
        if again:
            lost = await events_of(client, Disconnected)
            assert isinstance(lost, Disconnected)
            assert (lost.code, lost.reason) == (code, "because")
        else:
            with pytest.raises(EndedError, match="because") as ended:
                await events_of(client, Disconnected)
            assert ended.value.code == code
        await client.close()


async def test_a_token_that_ended_without_another_one_ends_the_client() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await say(socket, HELLO, TokenExpiring(1), TokenExpiring(1))
        await asyncio.sleep(0.05)
        await socket.close(4002, "the token expired")

    async with server(script) as url:
        client = await client_of(url).__aenter__()
        with pytest.raises(AuthenticationError):
            await events_of(client, Rewound)
        await client.close()


async def test_a_provider_that_fails_once_is_asked_again_at_the_end_of_the_token() -> None:
    asked = 0

    async def provide() -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise AuthenticationError("unauthenticated", "Not now.")
        return f"token-{asked}"

    seen: list[str] = []

    async def script(socket: ServerConnection, number: int) -> None:
        assert socket.request is not None
        seen.append(socket.request.headers["Authorization"])
        await say(socket, HELLO, TokenExpiring(1))
        if number == 1:
            await asyncio.sleep(0.05)
            await socket.close(4002, "the token expired")
        frame = await socket.recv(decode=False)
        command = decode_command(bytes(frame))
        assert isinstance(command, Authenticate)
        seen.append(command.token)
        await socket.wait_closed()

    async with server(script) as url:
        client = GatewayClient(url, token=provide, backoff=Backoff(0.01, 0.02))
        async with client, asyncio.timeout(20):
            while len(seen) < 3:  # noqa: ASYNC110 the server is told, not the client
                await asyncio.sleep(0.01)
    assert seen == ["Bearer token-1", "Bearer token-3", "token-4"]


async def test_a_refusal_for_haste_is_repeated_after_the_named_time() -> None:
    tries: list[str | None] = []

    async def script(socket: ServerConnection, number: int) -> None:
        await say(socket, HELLO)
        async for frame in socket:
            assert isinstance(frame, str)
            command = decode_command(frame.encode())
            assert isinstance(command, Message)
            assert command.ref is not None
            tries.append(command.ref)
            if len(tries) < 3:
                await say(socket, Error("rate_limited", "Slow.", command.ref, 20))
            else:
                await say(socket, Ack(command.ref, 1, 5, 5))

    async with server(script) as url, client_of(url) as client, asyncio.timeout(20):
        assert (await client.send(1, "x", ref="mine")).seq == 5
    assert tries == ["mine"] * 3


async def test_a_database_that_was_set_back_is_noticed_and_followed_from_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("storm_gateway.client.link.SETTLE_SECONDS", 0.01)
    asked: list[int | None] = []

    async def script(socket: ServerConnection, number: int) -> None:
        await say(socket, HELLO)
        async for frame in socket:
            assert isinstance(frame, str)
            command = decode_command(frame.encode())
            assert isinstance(command, Subscribe)
            asked.append(command.since)
            if len(asked) == 1:
                await say(socket, Subscribed(1, 40, command.ref), Heartbeat({"1": 40}))
                await asyncio.sleep(0.05)
                await say(socket, Heartbeat({"1": 30}))
                await asyncio.sleep(0.05)
                await say(socket, Heartbeat({"1": 31}))
            else:
                event = MessageEvent(1, "after", "bob", 32, 32, TIME)
                await say(socket, Subscribed(1, 31, command.ref, reset=True), event)

    async with server(script) as url, client_of(url) as client:
        await client.subscribe(1)
        assert await events_of(client, Rewound) == Rewound(1, 31)
        message = await events_of(client, MessageEvent)
        assert isinstance(message, MessageEvent)
        assert message.seq == 32
    assert asked == [None, 40]


async def test_another_epoch_is_told_to_a_program_that_is_slow_with_its_events_too() -> None:
    asked: list[int | None] = []

    async def script(socket: ServerConnection, number: int) -> None:
        await say(socket, msgspec.structs.replace(HELLO, epoch=f"epoch {number}"))
        async for frame in socket:
            assert isinstance(frame, str)
            command = decode_command(frame.encode())
            assert isinstance(command, Subscribe)
            asked.append(command.since)
            if number == 1:
                events = [MessageEvent(1, "old", "bob", n, n, TIME) for n in range(1, 9)]
                await say(socket, Subscribed(1, 8, command.ref), *events)
                await socket.close(1012, "the node restarts")
                return
            await say(socket, Subscribed(1, 20, command.ref))
            await say(socket, *(MessageEvent(1, "new", "bob", n, n, TIME) for n in (21, 22)))

    async with server(script) as url:
        client = GatewayClient(url, token="given", backoff=Backoff(0.01, 0.02), queue_size=10)
        async with client, asyncio.timeout(20):
            await client.subscribe(1, since=0)
            while len(asked) < 2 or client.position(1) is None:  # noqa: ASYNC110 nothing is read
                await asyncio.sleep(0.01)
            assert client.epoch == "epoch 2"
            told: list[object] = []
            async for event in client.events():
                if isinstance(event, (Rewound, MessageEvent)):
                    told.append(event if isinstance(event, Rewound) else event.seq)
                if told[-1:] == [21]:
                    break
    assert told == [*range(1, 9), Rewound(1, 20), 21]


async def test_a_command_that_names_a_message_of_another_epoch_is_refused() -> None:
    sent: list[object] = []

    async def script(socket: ServerConnection, number: int) -> None:
        await say(socket, msgspec.structs.replace(HELLO, epoch=f"epoch {number}"))
        async for frame in socket:
            assert isinstance(frame, str)
            sent.append(decode_command(frame.encode()))
            await socket.close(1012, "the node restarts")

    async with server(script) as url, client_of(url) as client, asyncio.timeout(20):
        with pytest.raises(RefusedError, match="backup"):
            await client.delete(1, 5)
    assert len(sent) == 1


async def test_a_busy_channel_between_heartbeats_is_no_database_that_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("storm_gateway.client.link.SETTLE_SECONDS", 0.01)
    asked: list[int | None] = []

    async def script(socket: ServerConnection, number: int) -> None:
        await say(socket, HELLO)
        async for frame in socket:
            assert isinstance(frame, str)
            command = decode_command(frame.encode())
            assert isinstance(command, Subscribe)
            asked.append(command.since)
            await say(socket, Subscribed(1, 0, command.ref))
            for seq in range(1, 10):
                # By the time the heartbeat is compared, its head is an old one.
                event = MessageEvent(1, f"word {seq}", "bob", seq, seq, TIME)
                await say(socket, Heartbeat({"1": seq - 1}), event)
                await asyncio.sleep(0.03)

    async with server(script) as url, client_of(url) as client, asyncio.timeout(20):
        await client.subscribe(1, since=0)
        heard: list[int] = []
        async for event in client.events():
            assert not isinstance(event, Rewound)
            if isinstance(event, MessageEvent):
                heard.append(event.seq)
            if len(heard) == 9:
                break
    assert heard == list(range(1, 10))
    assert asked == [0]


async def test_a_server_that_asks_to_move_without_closing_is_left_at_its_time() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await say(socket, HELLO)
        if number == 1:
            await say(socket, Reconnect(50, "drain"))
        await socket.wait_closed()
        numbers.append(number)

    numbers: list[int] = []
    async with server(script) as url, client_of(url) as client, asyncio.timeout(20):
        while not numbers:  # noqa: ASYNC110 the server is told, not the client
            await asyncio.sleep(0.01)
        assert client.trouble is None
    assert numbers[0] == 1


async def test_something_else_than_a_websocket_is_trouble() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    client = client_of(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    entering = asyncio.create_task(client.__aenter__())
    async with asyncio.timeout(20):
        while client.trouble is None:  # noqa: ASYNC110 nothing tells of it
            await asyncio.sleep(0.01)
    assert "WebSocket" in client.trouble
    entering.cancel()
    await asyncio.wait([entering])
    listener.close()
    await listener.wait_closed()


async def test_a_server_that_reads_late_gets_no_more_than_one_burst_at_once() -> None:
    limits = Limits(4_000, 65_536, 50, 5, 9, 9)
    at_once: list[str] = []

    async def script(socket: ServerConnection, number: int) -> None:
        await say(socket, msgspec.structs.replace(HELLO, limits=limits))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):  # time for 25 commands
                while True:
                    at_once.append(await read_ref(socket))
        for ref in at_once:
            await say(socket, Ack(ref, 1, 5, 5))
        for _ in range(16):
            await say(socket, Ack(await read_ref(socket), 1, 5, 5))
        await socket.wait_closed()

    async def read_ref(socket: ServerConnection) -> str:
        command = decode_command(await socket.recv(decode=False))
        assert isinstance(command, Message)
        assert command.ref is not None
        return command.ref

    async with server(script) as url, client_of(url) as client, asyncio.timeout(20):
        await asyncio.gather(*(client.send(1, f"{number}") for number in range(20)))
    assert len(at_once) == 4  # 0.9 of the burst
