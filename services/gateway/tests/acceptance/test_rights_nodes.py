"""What is taken away on one node is gone on the other, with real NATS, Valkey and PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Node, Peer, Refused
from hub_harness import until

from storm_gateway.actions.open_channels import CROWD
from storm_gateway.protocol.close_codes import CloseCode

PASSWORD = "long enough"


@pytest.fixture
async def pair(backends: dict[str, str], tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes: on the first somebody takes away, to the second others are connected."""
    made = [Node(tmp_path / name, node_name=name, **backends) for name in ("a", "b")]
    for node in made:
        await node.start()
    yield made[0], made[1]
    for node in made:
        await node.stop()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of a user that no other test of this file has: the servers are the same for all."""
    return f"bob-{abs(hash(request.node.name))}"


# --- channels ---


async def _removed(a: Node, channel: int, bob: str) -> None:
    await a.want("alice", "DELETE", f"/channels/{channel}/members/{bob}")


async def _banned(a: Node, channel: int, bob: str) -> None:
    await a.want("alice", "PUT", f"/channels/{channel}/bans/{bob}")


async def _left(a: Node, channel: int, bob: str) -> None:
    await a.want(bob, "POST", f"/channels/{channel}/leave")


@pytest.mark.parametrize("take", [_removed, _banned, _left])
async def test_who_is_no_member_any_more_receives_nothing_on_the_other_node(
    pair: tuple[Node, Node], name: str, take: Callable[[Node, int, str], Awaitable[None]]
) -> None:
    a, b = pair
    people = (name, "carol")
    room = await a.channel("alice", f"room of {name}", "private", people)
    fence = await a.channel("alice", f"fence of {name}", "private", people)
    bob, carol, alice = await b.join(name), await b.join("carol"), await a.join("alice")
    for peer in (bob, carol, alice):
        await peer.subscribe(room)
        await peer.subscribe(fence)
    await take(a, room, name)
    await alice.say(room, "not for bob")
    await carol.until("message", payload="not for bob")
    await alice.say(fence, "fence")
    await bob.until("message", payload="fence")
    assert "not for bob" not in str(bob.events)
    (left,) = bob.of("member.left")
    assert (left["user_id"], left["reason"]) == (name, take.__name__.strip("_"))
    assert (await bob.ask("subscribe", channel_id=room, since=0))["type"] == "error"
    assert (await bob.ask("message", channel_id=room, payload="still me"))["type"] == "error"
    history = await b.call(name, "GET", f"/channels/{room}/messages")
    assert history.status_code in (403, 404)


async def test_strangers_and_members_of_the_other_node_hear_what_becomes_of_a_channel(
    pair: tuple[Node, Node], name: str
) -> None:
    a, b = pair
    room = await a.channel("alice", f"room of {name}", "public", (name,))
    bob, visitor = await b.join(name), await b.join("visitor")
    for peer in (bob, visitor):
        await peer.subscribe(room)
    await visitor.subscribe(1)
    await a.want("alice", "PATCH", f"/channels/{room}", json={"visibility": "private"})
    for channel, payload in ((room, "members only"), (1, "fence")):
        await a.want("alice", "POST", f"/channels/{channel}/messages", json={"payload": payload})
    await bob.until("message", payload="members only")
    await visitor.until("message", payload="fence")
    assert "members only" not in str(visitor.events)
    assert (await visitor.ask("subscribe", channel_id=room))["code"] == "not_found"
    await a.want("alice", "DELETE", f"/channels/{room}")
    assert (await bob.until("channel.deleted"))["by"] == "alice"
    assert (await bob.ask("subscribe", channel_id=room))["code"] == "not_found"


# --- logins ---


async def _register(node: Node, user_id: str) -> None:
    person = {"user_id": user_id, "password": PASSWORD}
    await node.want(None, "POST", "/auth/register", json=person)


async def _login(node: Node, user_id: str) -> tuple[str, dict[str, str]]:
    """(access token, headers with the refresh cookie)"""
    person = {"user_id": user_id, "password": PASSWORD}
    answer = await node.call(None, "POST", "/auth/login", json=person)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"], _cookie(node, answer)


def _cookie(node: Node, answer: Any) -> dict[str, str]:
    node.http.cookies.clear()
    return {"Cookie": f"refresh_token={answer.cookies['refresh_token']}"}


def _bearer(access: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access}"}


async def _connect(node: Node, access: str) -> Peer:
    peer = await node.open("/ws?channel_id=1", _bearer(access))
    await peer.until("subscribed")
    return peer


async def _is_out(node: Node, peer: Peer, access: str) -> None:
    assert (await peer.closed()).code == CloseCode.AUTHENTICATION_FAILED
    with pytest.raises(Refused) as caught:
        await node.open("/ws", _bearer(access))
    assert caught.value.status == 401


async def test_a_logout_ends_the_connections_of_that_login_on_the_other_node(
    pair: tuple[Node, Node], name: str
) -> None:
    a, b = pair
    await _register(a, name)
    access, cookie = await _login(a, name)
    other, _ = await _login(b, name)
    ended, lives = await _connect(b, access), await _connect(b, other)
    await a.call(None, "POST", "/auth/logout", headers=cookie)
    await _is_out(b, ended, access)
    await lives.say(1, "the other login goes on")


async def test_a_reused_refresh_token_ends_its_login_on_both_nodes(
    pair: tuple[Node, Node], name: str
) -> None:
    a, b = pair
    await _register(a, name)
    _, stolen = await _login(a, name)
    answer = await a.call(None, "POST", "/auth/refresh", headers=stolen)
    access = answer.json()["access_token"]
    peers = [await _connect(node, access) for node in pair]
    again = await b.call(None, "POST", "/auth/refresh", headers=_cookie(a, answer))
    assert again.status_code == 200, "a refresh token is good on any node"
    b.http.cookies.clear()
    reused = await b.call(None, "POST", "/auth/refresh", headers=stolen)
    assert reused.status_code == 401
    for node, peer in zip(pair, peers, strict=True):
        await _is_out(node, peer, access)


async def test_a_new_password_and_a_deleted_account_end_all_connections_on_the_other_node(
    pair: tuple[Node, Node], name: str
) -> None:
    a, b = pair
    for user_id, method, fields in (
        (name, "PATCH", {"json": {"password": "another long one"}}),
        (f"{name}-gone", "DELETE", {}),
    ):
        await _register(a, user_id)
        access, _ = await _login(a, user_id)
        first, second = await _connect(b, access), await _connect(b, (await _login(b, user_id))[0])
        answer = await a.call(None, method, "/auth/me", headers=_bearer(access), **fields)
        assert answer.status_code == 200, answer.text
        a.http.cookies.clear()
        await _is_out(b, first, access)
        assert (await second.closed()).code == CloseCode.AUTHENTICATION_FAILED


# --- channels of which nobody's right is asked for any more ---


async def test_who_is_banned_from_a_crowded_public_channel_cannot_come_back_on_any_node(
    pair: tuple[Node, Node], name: str
) -> None:
    a, b = pair
    room = await a.channel("alice", f"crowd of {name}", "public", ())
    for node in pair:
        for number in range(CROWD + 1):
            peer = await node.join(f"guest-{number}")
            await peer.subscribe(room)
        await until(lambda node=node: node.gateway.actions.access.open.holds(room))
    bob = await b.join(name)
    await bob.subscribe(room)
    await _banned(a, room, name)
    for node in pair:
        again = await node.join(name)
        assert (await again.ask("subscribe", channel_id=room))["code"] == "banned"
