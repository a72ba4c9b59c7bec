"""What server administrators see and do: nodes, channels, bans; and nobody else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from harness import WAIT_SECONDS, Closed, Node, Refused, token

from storm_gateway import app
from storm_gateway.actions import nodes as reports
from storm_gateway.bus.base import BusEvent, ControlEvent
from storm_gateway.bus.nats import NatsBus
from storm_gateway.bus.report import REPORTS
from storm_gateway.config import Config
from storm_gateway.stack.nats import NatsServer

Start = Callable[..., Awaitable[Node]]
PASSWORD = "long enough"


@pytest.fixture
async def node(start_node: Start) -> Node:
    return await start_node(admins="root")


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)


@pytest.fixture
async def pair(
    nats: NatsServer, start_node: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Node, Node]:
    """Two nodes on one database, with a real bus between them, which outlives them."""
    config = Config(data_dir=tmp_path, nats_url=nats.url)
    monkeypatch.setattr(app, "_make_bus", lambda _, life, metrics: NatsBus(config, life, metrics))
    monkeypatch.setattr(reports, "REPORT_SECONDS", 0.5)
    one = await start_node(data_dir=tmp_path / "data", node_name="one", admins="root")
    two = await start_node(data_dir=tmp_path / "data", node_name="two", admins="root")
    return one, two


async def register(node: Node, user_id: str) -> None:
    body = {"user_id": user_id, "password": PASSWORD}
    assert (await node.call(None, "POST", "/auth/register", json=body)).status_code == 201


async def login(node: Node, user_id: str) -> Any:
    node.http.cookies.clear()
    body = {"user_id": user_id, "password": PASSWORD}
    return await node.call(None, "POST", "/auth/login", json=body)


async def becomes(ask: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    found = None
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while (found := await ask()) != wanted:  # noqa: ASYNC110 asked as a page asks
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{found} never became {wanted}") from None


async def names(node: Node) -> list[str]:
    return [each["node"] for each in await node.want("root", "GET", "/server/nodes")]


# --- who may ---


async def test_everything_of_the_server_is_for_administrators_only(node: Node) -> None:
    await node.know("bob")
    for method, path in (
        ("GET", "/server/nodes"),
        ("GET", "/server/channels"),
        ("PUT", "/server/bans/bob"),
        ("DELETE", "/server/bans/bob"),
    ):
        answer = await node.call("bob", method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert (await node.call(None, method, path)).status_code == 401
    # An administrator no longer one is refused at once.
    await node.want("root", "PATCH", "/users/bob", json={"admin": True})
    await node.want("bob", "GET", "/server/nodes")
    await node.want("root", "PATCH", "/users/bob", json={"admin": False})
    assert (await node.call("bob", "GET", "/server/nodes")).status_code == 403


# --- nodes ---


async def test_a_node_alone_tells_what_it_does(
    start_node: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "REPORT_SECONDS", 0.5)
    node = await start_node(admins="root", node_name="alone")
    await becomes(lambda: names(node), ["alone"])
    peers = [await node.join(f"user{n}", "/ws?channel_id=1") for n in range(3)]

    async def shown() -> tuple[int, int]:
        (one,) = await node.want("root", "GET", "/server/nodes")
        return one["connections"], one["subscriptions"]

    await becomes(shown, (3, 3))
    (one,) = await node.want("root", "GET", "/server/nodes")
    assert set(one) == {
        "node",
        "version",
        "ready",
        "started_at",
        "connections",
        "subscriptions",
        "messages_per_second",
        "deliveries_per_second",
        "slow_consumers",
        "loop_lag_seconds",
        "memory_bytes",
    }
    assert one["ready"]
    assert one["memory_bytes"] > 1_000_000
    assert one["started_at"].endswith("Z")
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            await peers[0].say(1, "hello")
            (one,) = await node.want("root", "GET", "/server/nodes")
            if one["messages_per_second"] > 0:
                break
    assert one["deliveries_per_second"] > one["messages_per_second"]
    assert await node.metric("storm_nodes") == 1


async def test_each_node_knows_what_all_nodes_do_and_forgets_who_ended(
    pair: tuple[Node, Node],
) -> None:
    one, two = pair
    for node in pair:
        await becomes(lambda node=node: names(node), ["one", "two"])  # type: ignore[misc]
    await one.join("alice")

    async def connections() -> list[int]:
        told = await two.want("root", "GET", "/server/nodes")
        return [each["connections"] for each in told]

    await becomes(connections, [1, 0])
    await one.stop()
    await becomes(lambda: names(two), ["two"])


async def test_a_node_that_tells_nothing_any_more_is_forgotten(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    monkeypatch.setattr(reports, "EXPIRE_SECONDS", 3)
    await becomes(lambda: names(two), ["one", "two"])
    publish = one.gateway.bus.publish

    def lose(topic: str, event: BusEvent) -> None:
        if topic != REPORTS:
            publish(topic, event)

    one.gateway.bus.publish = lose  # type: ignore[method-assign]
    await becomes(lambda: names(two), ["two"])
    assert await names(one) == ["one", "two"]


# --- channels ---


async def test_administrators_find_private_channels_but_no_direct_ones(node: Node) -> None:
    secret = await node.channel("alice", "secret plans", "private", ["bob"])
    await node.want("alice", "POST", "/direct", json={"user_id": "bob"})
    found = await node.want("root", "GET", "/server/channels")
    assert [channel["name"] for channel in found] == ["general", "secret plans"]
    (channel,) = await node.want("root", "GET", "/server/channels?contains=PLAN")
    assert channel.pop("created_at").endswith("Z")
    assert channel == {
        "id": secret,
        "name": "secret plans",
        "topic": "",
        "visibility": "private",
        "created_by": "alice",
        "head": 2,
        "member_count": 2,
    }
    (first,) = await node.want("root", "GET", "/server/channels?limit=1")
    after = await node.want("root", "GET", f"/server/channels?after={first['id']}")
    assert [channel["id"] for channel in after] == [secret]
    assert (await node.call("root", "GET", "/server/channels?limit=201")).status_code == 400


# --- bans ---


async def test_who_is_banned_is_thrown_out_and_comes_in_by_no_door(node: Node) -> None:
    await register(node, "bob")
    known = (await login(node, "bob")).json()["access_token"]
    refresh = dict(node.http.cookies)
    ticket = (await node.want("bob", "POST", "/auth/ticket"))["token"]
    peers = [await node.join("bob", "/ws?channel_id=1") for _ in range(2)]
    alice = await node.join("alice", "/ws?channel_id=1")
    await peers[0].say(1, "I was here")
    await node.want("root", "PUT", "/server/bans/bob")
    for peer in peers:
        end = await peer.closed()
        assert (end.code, end.reason) == (4503, "banned from this server")
    node.http.cookies.clear()
    for given in (known, token("bob")):
        for method, path in (("GET", "/auth/me"), ("POST", "/auth/ticket"), ("GET", "/channels")):
            answer = await node.http.request(
                method, node.url + path, headers={"Authorization": f"Bearer {given}"}
            )
            assert (answer.status_code, answer.json()["code"]) == (403, "banned")
        with pytest.raises(Refused) as refused:
            await node.open(headers={"Authorization": f"Bearer {given}"})
        assert (refused.value.status, refused.value.json()["code"]) == (403, "banned")
    with pytest.raises(Refused) as refused:
        await node.open(f"/ws?token={ticket}")
    assert refused.value.status == 403
    answer = await login(node, "bob")
    assert (answer.status_code, answer.json()["code"]) == (403, "banned")
    node.http.cookies.update(refresh)
    assert (await node.call(None, "POST", "/auth/refresh")).status_code in (401, 403)
    assert (await node.call(None, "POST", "/auth/logout")).status_code == 200
    node.http.cookies.clear()
    # A wrong password learns nothing, and what was said stays.
    body = {"user_id": "bob", "password": "wrong one!"}
    assert (await node.call(None, "POST", "/auth/login", json=body)).status_code == 401
    (said,) = await node.history("alice", 1)
    assert (said["user_id"], said["author_deleted"]) == ("bob", False)
    await alice.say(1, "others go on")


async def test_who_is_let_in_again_logs_in_anew(node: Node) -> None:
    await register(node, "bob")
    known = (await login(node, "bob")).json()["access_token"]
    await node.want("root", "PUT", "/server/bans/bob")
    await node.want("root", "DELETE", "/server/bans/bob")
    node.http.cookies.clear()
    old = await node.http.get(f"{node.url}/auth/me", headers={"Authorization": f"Bearer {known}"})
    assert old.status_code == 401
    assert (await login(node, "bob")).status_code == 200
    await node.join("bob", "/ws?channel_id=1")


async def test_only_administrators_are_told_who_is_banned(node: Node) -> None:
    for name in ("alice", "bob"):
        await node.know(name)
    await node.want("root", "PUT", "/server/bans/bob")
    for path in ("/users?contains=bob", "/users/bob"):
        told = {}
        for asking in ("root", "alice"):
            found = await node.want(asking, "GET", path)
            told[asking] = found[0] if isinstance(found, list) else found
        assert told["root"].pop("banned_at").endswith("Z")
        assert told["root"] == told["alice"]
    await node.want("root", "DELETE", "/server/bans/bob")
    assert "banned_at" not in await node.want("root", "GET", "/users/bob")


async def test_nobody_bans_themself_an_unknown_user_or_while_not_an_administrator(
    node: Node,
) -> None:
    for name in ("root", "other", "bob"):
        await node.know(name)
    for path, status in (("root", 409), ("nobody", 404), ("no%20name", 400)):
        assert (await node.call("root", "PUT", f"/server/bans/{path}")).status_code == status
    assert (await node.call("root", "DELETE", "/server/bans/nobody")).status_code == 404
    await node.want("root", "PATCH", "/users/other", json={"admin": True})
    await node.want("other", "PUT", "/server/bans/root")
    assert (await node.call("root", "PUT", "/server/bans/other")).json()["code"] == "banned"
    answer = await node.call("other", "PATCH", "/users/root", json={"admin": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_a_ban_reaches_every_node(pair: tuple[Node, Node]) -> None:
    one, two = pair
    await one.know("bob")
    peer = await two.join("bob", "/ws?channel_id=1")
    await one.want("root", "PUT", "/server/bans/bob")
    assert (await peer.closed()).code == 4503
    assert (await two.call("bob", "GET", "/channels")).status_code == 403
    await one.want("root", "DELETE", "/server/bans/bob")

    async def status() -> int:
        return (await two.call("bob", "GET", "/channels")).status_code

    await becomes(status, 200)


async def test_a_ban_whose_word_was_lost_is_learned_from_the_store(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    monkeypatch.setattr(app, "_LOOK_SECONDS", 0.2)
    await one.know("bob")
    peer = await two.join("bob", "/ws?channel_id=1")
    publish = one.gateway.bus.publish

    def lose(topic: str, event: BusEvent) -> None:
        if not isinstance(event, ControlEvent):
            publish(topic, event)

    one.gateway.bus.publish = lose  # type: ignore[method-assign]
    await one.want("root", "PUT", "/server/bans/bob")
    assert (await peer.closed()).code == 4503
    await one.want("root", "DELETE", "/server/bans/bob")

    async def status() -> int:
        return (await two.call("bob", "GET", "/channels")).status_code

    await becomes(status, 200)


async def test_a_node_knows_at_its_start_who_is_banned(start_node: Start, tmp_path: Path) -> None:
    first = await start_node(data_dir=tmp_path / "data", admins="root")
    await first.know("bob")
    await first.want("root", "PUT", "/server/bans/bob")
    await first.stop()
    second = await start_node(data_dir=tmp_path / "data", admins="root")
    assert (await second.call("bob", "GET", "/channels")).json()["code"] == "banned"


async def test_the_command_line_bans_on_a_running_server(node: Node) -> None:
    from storm_gateway.observability.metrics import Metrics
    from storm_gateway.store.sql_store import SqlStore

    peer = await node.join("bob", "/ws?channel_id=1")
    store = SqlStore(node.config, Metrics())
    await store.start(lambda _: None)
    await store.users.ban("bob")
    await store.stop()
    end = await peer.closed()
    assert isinstance(end, Closed)
    assert end.code == 4503
