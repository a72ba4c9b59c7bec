"""How the client comes in, stays in, and learns that it may not."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from client_relay import Relay
from harness import Node, token

from storm_gateway.client import (
    AuthenticationError,
    ClientError,
    Disconnected,
    EndedError,
    GatewayClient,
    RefusedError,
)
from storm_gateway.client.backoff import Backoff
from storm_gateway.protocol.events import MessageEvent, PresenceEvent, TypingEvent

Nodes = Callable[..., Awaitable[Node]]
PASSWORD = "correct horse battery"


async def register(node: Node, user_id: str) -> None:
    body = {"user_id": user_id, "password": PASSWORD}
    await node.want(None, "POST", "/auth/register", json=body)


async def trouble(client: GatewayClient) -> str:
    """Wait until the client has no connection; why."""
    async with asyncio.timeout(10):
        while client.trouble is None:  # noqa: ASYNC110 nothing tells of it
            await asyncio.sleep(0.01)
    return client.trouble


async def end_of(client: GatewayClient) -> None:
    """Read the events to their end."""
    async with asyncio.timeout(15):
        async for _ in client.events():
            pass


async def test_name_and_password_log_in_and_only_a_ticket_stands_in_the_url(node: Node) -> None:
    await register(node, "alice")
    async with (
        Relay(node.port) as relay,
        GatewayClient(relay.url, user="alice", password=PASSWORD) as client,
    ):
        await client.subscribe(1)
        assert (await client.channels())[0].name == "general"
        assert client.user_id == "alice"
    (upgrade,) = [line for line in relay.requests if "/ws" in line]
    assert "?token=" in upgrade
    ticket = upgrade.split("token=")[1].split(" ")[0]
    answer = await node.http.get(
        f"{node.url}/channels", headers={"Authorization": f"Bearer {ticket}"}
    )
    assert answer.status_code == 401


async def test_a_given_token_travels_in_a_header_and_never_in_the_url(node: Node) -> None:
    async with Relay(node.port) as relay, GatewayClient(relay.url, token=token("alice")):
        pass
    assert relay.requests == ["GET /ws HTTP/1.1"]


async def test_where_tickets_are_limited_the_header_serves(start_node: Nodes) -> None:
    node = await start_node(auth_rate_limit_enabled=True, auth_burst=2)
    await register(node, "alice")
    async with GatewayClient(node.url, user="alice", password=PASSWORD) as client:
        assert client.user_id == "alice"


async def test_a_wrong_password_is_told_at_once(node: Node) -> None:
    await register(node, "alice")
    client = GatewayClient(node.url, user="alice", password="wrong password")
    with pytest.raises(AuthenticationError):
        async with client:
            pass


@pytest.mark.parametrize("bad", ["nonsense", token("alice", -5), token("alice", secret="x" * 40)])
async def test_a_bad_token_is_told_at_once(node: Node, bad: str) -> None:
    with pytest.raises(AuthenticationError):
        async with GatewayClient(node.url, token=bad):
            pass


async def test_an_address_with_something_else_behind_it_is_tried_again(node: Node) -> None:
    client = GatewayClient(f"{node.url}/nowhere", token=token("alice"))
    with pytest.raises(RefusedError):
        async with client:
            pass


async def test_a_server_that_comes_late_is_waited_for(node: Node) -> None:
    async with Relay(node.port) as relay:
        relay.open = False
        client = GatewayClient(
            relay.url, token=token("alice"), backoff=Backoff(0.01, 0.05, lambda: 1)
        )
        entering = asyncio.create_task(client.__aenter__())
        await trouble(client)
        assert not entering.done()
        relay.open = True
        async with asyncio.timeout(10):
            await entering
        await client.close()


async def test_a_full_node_is_tried_again_no_sooner_than_it_says(start_node: Nodes) -> None:
    node = await start_node(max_connections=1)
    async with GatewayClient(node.url, token=token("alice")):
        late = GatewayClient(node.url, token=token("bob"))
        entering = asyncio.create_task(late.__aenter__())
        assert "503" in await trouble(late)
        entering.cancel()
        await asyncio.wait([entering])
    assert entering.cancelled()


async def test_a_token_that_ends_is_renewed_on_the_living_connection(start_node: Nodes) -> None:
    node = await start_node(token_expiring_seconds=2, heartbeat_seconds=1)
    given = 0

    async def provide() -> str:
        nonlocal given
        given += 1
        return token("alice", 3 if given == 1 else 600)

    async with Relay(node.port) as relay, GatewayClient(relay.url, token=provide) as client:
        await client.subscribe(1)
        await asyncio.sleep(4)  # longer than the first token lives
        await client.send(1, "still here")
        assert len([line for line in relay.requests if "/ws" in line]) == 1
    assert given == 2


async def test_a_client_with_one_token_ends_with_it(start_node: Nodes) -> None:
    node = await start_node(token_expiring_seconds=1, heartbeat_seconds=1)
    async with GatewayClient(node.url, token=token("alice", 2)) as client:
        with pytest.raises(AuthenticationError):
            await end_of(client)
        with pytest.raises(AuthenticationError):
            await client.send(1, "too late")


async def test_a_login_that_ended_between_two_connections_is_renewed(node: Node) -> None:
    given = [token("alice", 600), token("alice", -5), token("alice", 600)]

    async def provide() -> str:
        return given.pop(0) if len(given) > 1 else given[0]

    async with (
        Relay(node.port) as relay,
        GatewayClient(relay.url, token=provide, backoff=Backoff(0.01, 0.05)) as client,
    ):
        await client._credentials.renew()  # the one in hand is bad now
        relay.cut()
        await client.send(1, "with the third token")


async def test_a_login_is_refreshed_for_history_too(start_node: Nodes) -> None:
    node = await start_node(access_token_seconds=10, token_expiring_seconds=1)
    await register(node, "alice")
    async with GatewayClient(node.url, user="alice", password=PASSWORD) as client:
        await client.send(1, "hello")
        client._credentials._token = "stale"  # type: ignore[attr-defined]
        (message,) = await client.history(1)
        assert message.payload == "hello"


async def test_a_deleted_user_is_told_that_it_is_over(node: Node) -> None:
    async with GatewayClient(node.url, token=token("alice")) as client:
        waiting = asyncio.create_task(client.subscribe(1))
        await waiting
        await node.want("alice", "DELETE", "/auth/me")
        with pytest.raises(EndedError) as ended:
            await end_of(client)
        assert ended.value.code == 4500


async def test_refusals_carry_the_servers_code(node: Node) -> None:
    secret = await node.channel("bob", "secret", "private")
    async with GatewayClient(node.url, token=token("alice")) as client:
        for work, code in (
            (client.send(1, "  "), "invalid_command"),
            (client.send(1, "x" * 5_000), "payload_too_large"),
            (client.send(secret, "hi"), "not_found"),
            (client.edit(1, 999, "hi"), "not_found"),
        ):
            with pytest.raises(RefusedError) as refused:
                await work
            assert refused.value.code == code
        with pytest.raises(RefusedError, match="not_found"):
            await client.subscribe(secret)
        with pytest.raises(RefusedError, match="not_found"):
            await client.history(secret)


async def test_everything_that_a_user_can_do_in_a_channel(node: Node) -> None:
    async with (
        GatewayClient(node.url, token=token("alice")) as alice,
        GatewayClient(node.url, token=token("bob")) as bob,
    ):
        await bob.subscribe(1)
        first = await alice.send(1, "first")
        second = await alice.send(1, "second")
        assert first.id is not None
        assert second.id is not None
        await alice.edit(1, first.id, "First")
        await bob.react(1, first.id, "👍")
        await bob.unreact(1, first.id, "👍")
        await alice.delete(1, second.id)
        alice.typing(1)
        with pytest.raises(RefusedError, match="members"):
            await alice.read(1, 2)  # she has not joined
        kinds = []
        async with asyncio.timeout(10):
            async for event in bob.events():
                if not isinstance(event, PresenceEvent):
                    kinds.append(type(event).__name__)
                if isinstance(event, TypingEvent):
                    break
        assert kinds == [
            "Connected",
            "MessageEvent",
            "MessageEvent",
            "MessageEdited",
            "ReactionAdded",
            "ReactionRemoved",
            "MessageDeleted",
            "TypingEvent",
        ]
        bob.unsubscribe(1)
        await alice.send(1, "unheard")
        assert [message.payload for message in await bob.history(1)] == ["First", "", "unheard"]
        assert bob.position(1) is None


async def test_the_client_keeps_below_the_servers_limit_on_commands(start_node: Nodes) -> None:
    node = await start_node(commands_per_second=50, commands_burst=5)
    async with (
        GatewayClient(node.url, token=token("alice")) as client,
        asyncio.timeout(20),
        asyncio.TaskGroup() as group,
    ):
        for number in range(40):
            group.create_task(client.send(1, f"{number}"))
    assert await node.metric("storm_commands_rate_limited_total") == 0
    assert len(await node.history("alice", 1)) == 40


async def test_closing_ends_the_events_and_fails_what_was_not_answered(node: Node) -> None:
    async with Relay(node.port) as relay:
        client = GatewayClient(relay.url, token=token("alice"))
        await client.__aenter__()
        await client.subscribe(1)
        relay.flowing.clear()
        sending = asyncio.create_task(client.send(1, "x"))
        subscribing = asyncio.create_task(client.subscribe(2))
        await asyncio.sleep(0)
        await client.close()
        for task in (sending, subscribing):
            with pytest.raises(ClientError, match="closed"):
                await task
        assert [event async for event in client.events() if isinstance(event, MessageEvent)] == []
        with pytest.raises(ClientError, match="closed"):
            await client.send(1, "later")


async def test_a_client_that_was_not_entered_says_so() -> None:
    client = GatewayClient("127.0.0.1:1", token="x")
    with pytest.raises(ClientError, match="async with"):
        await client.send(1, "x")
    with pytest.raises(ClientError, match="async with"):
        _ = client.user_id
    await client.close()


async def test_no_server_at_all_is_trouble_and_not_an_error(node: Node) -> None:
    async with Relay(node.port) as relay:
        port = relay.port
    client = GatewayClient(
        f"127.0.0.1:{port}", token=token("alice"), backoff=Backoff(0.01, 0.05), queue_size=1
    )
    entering = asyncio.create_task(client.__aenter__())
    await trouble(client)
    entering.cancel()
    await asyncio.wait([entering])
    events = [event async for event in client.events()]
    assert isinstance(events[0], Disconnected)


def test_one_kind_of_credentials_is_needed_and_no_more() -> None:
    for options in ({}, {"token": "x", "user": "a"}, {"user": "a"}):
        with pytest.raises(ValueError, match="either a token"):
            GatewayClient("127.0.0.1:1", **options)


async def test_refs_of_the_clients_own_commands_are_reserved(node: Node) -> None:
    async with GatewayClient(node.url, token=token("alice")) as client:
        with pytest.raises(ValueError, match="own"):
            await client.send(1, "x", ref="storm:1")
