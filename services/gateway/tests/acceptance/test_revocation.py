"""Whoever loses a right stops receiving at once, and others go on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from harness import Node, Peer, Refused, token

Start = Callable[..., Awaitable[Node]]
PASSWORD = "long enough"


class Room:
    """A channel that bob is about to lose, a fellow who stays, and a fence channel for bob."""

    def __init__(self, node: Node, channel: int, fence: int) -> None:
        self.node = node
        self.channel = channel
        self.fence = fence
        self.alice: Peer
        self.bob: Peer
        self.carol: Peer

    @classmethod
    async def make(cls, node: Node, visibility: str = "private") -> "Room":
        people = ("bob", "carol")
        room = cls(
            node,
            await node.channel("alice", "the room", visibility, people),
            await node.channel("alice", "the fence", "private", people),
        )
        for name in ("alice", *people):
            peer = await node.join(name)
            await peer.subscribe(room.channel)
            await peer.subscribe(room.fence)
            setattr(room, name, peer)
        return room

    async def want(self, method: str, path: str, **options: Any) -> Any:
        return await self.node.want("alice", method, f"/channels/{self.channel}{path}", **options)

    async def bob_is_out(self) -> None:
        """What is said now does not reach bob, and it does reach carol."""
        await self.alice.say(self.channel, "not for bob")
        await self.carol.until("message", payload="not for bob")
        await self.alice.say(self.fence, "fence")
        await self.bob.until("message", payload="fence")
        assert "not for bob" not in str(self.bob.events)
        reply = await self.bob.ask("subscribe", channel_id=self.channel, since=0)
        assert reply["type"] == "error", reply
        history = await self.node.call("bob", "GET", f"/channels/{self.channel}/messages")
        assert history.status_code in (403, 404)


@pytest.fixture
async def room(node: Node) -> Room:
    return await Room.make(node)


async def test_a_removed_member_stops_receiving_at_once(room: Room) -> None:
    await room.want("DELETE", "/members/bob")
    await room.bob_is_out()
    # Bob hears why, and carol sees it in the channel.
    left = await room.bob.until("member.left")
    assert (left["user_id"], left["reason"], left["by"]) == ("bob", "removed", "alice")
    assert (await room.carol.until("member.left"))["seq"] == left["seq"]
    await room.bob.say(room.fence, "still a member here")


async def test_every_connection_of_a_removed_member_is_cut(room: Room) -> None:
    others = [await room.node.join("bob") for _ in range(3)]
    for peer in others:
        await peer.subscribe(room.channel)
        await peer.subscribe(room.fence)
    await room.want("DELETE", "/members/bob")
    await room.bob_is_out()
    for peer in others:
        await peer.until("message", payload="fence")
        assert "not for bob" not in str(peer.events)


async def test_a_banned_member_stops_receiving_at_once_in_a_public_channel_too(node: Node) -> None:
    room = await Room.make(node, "public")
    await room.want("PUT", "/bans/bob")
    await room.bob_is_out()
    assert (await room.bob.until("member.left"))["reason"] == "banned"


async def test_whoever_leaves_stops_receiving_on_every_device(room: Room) -> None:
    await room.node.want("bob", "POST", f"/channels/{room.channel}/leave")
    await room.bob_is_out()
    assert (await room.bob.until("member.left"))["reason"] == "left"


async def test_a_channel_made_private_keeps_only_its_members(node: Node) -> None:
    room = await Room.make(node, "public")
    visitor = await node.join("visitor")
    await visitor.subscribe(room.channel)
    await visitor.subscribe(1)
    await room.alice.say(room.channel, "everybody hears this")
    await visitor.until("message", payload="everybody hears this")
    await room.want("PATCH", "", json={"visibility": "private"})
    await room.alice.say(room.channel, "members only")
    for member in (room.bob, room.carol):
        await member.until("message", payload="members only")
    await node.want("alice", "POST", "/channels/1/messages", json={"payload": "fence"})
    await visitor.until("message", payload="fence")
    assert "members only" not in str(visitor.events)
    assert (await visitor.ask("subscribe", channel_id=room.channel))["code"] == "not_found"


async def test_a_deleted_channel_says_so_and_is_silent(room: Room) -> None:
    await room.want("DELETE", "")
    for peer in (room.alice, room.bob, room.carol):
        deleted = await peer.until("channel.deleted")
        assert (deleted["channel_id"], deleted["by"]) == (room.channel, "alice")
        for name in ("message", "subscribe"):
            fields = {"payload": "x"} if name == "message" else {}
            error = await peer.ask(name, channel_id=room.channel, **fields)
            assert error["code"] == "not_found"
    await room.bob.say(room.fence, "the other channel lives")
    await room.carol.until("message", payload="the other channel lives")
    assert len(room.bob.of("channel.deleted")) == 1


async def test_an_invited_user_hears_of_it_and_receives_from_then_on(node: Node) -> None:
    channel = await node.channel("alice", "club", "private")
    bob = await node.join("bob")
    assert (await bob.ask("subscribe", channel_id=channel))["code"] == "not_found"
    await node.want("alice", "POST", f"/channels/{channel}/members", json={"user_id": "bob"})
    joined = await bob.until("member.joined")
    assert (joined["channel_id"], joined["user_id"], joined["by"]) == (channel, "bob", "alice")
    await bob.subscribe(channel)
    await node.want("alice", "POST", f"/channels/{channel}/messages", json={"payload": "welcome"})
    await bob.until("message", payload="welcome")


async def test_a_member_who_returns_after_a_removal_is_let_in_again(room: Room) -> None:
    for _ in range(3):
        await room.want("DELETE", "/members/bob")
        await room.bob_is_out()
        await room.want("POST", "/members", json={"user_id": "bob"})
        await room.bob.subscribe(room.channel)
        await room.alice.say(room.channel, "bob is back")
        await room.bob.until("message", payload="bob is back")
        room.bob.events.clear()


# --- logins ---


async def _login(node: Node, user_id: str, password: str = PASSWORD) -> tuple[str, str]:
    """(access token, refresh token)"""
    answer = await node.call(
        None, "POST", "/auth/login", json={"user_id": user_id, "password": password}
    )
    assert answer.status_code == 200, answer.text
    node.http.cookies.clear()
    return answer.json()["access_token"], answer.cookies["refresh_token"]


async def _connect(node: Node, access: str) -> Peer:
    peer = await node.open("/ws?channel_id=1", {"Authorization": f"Bearer {access}"})
    await peer.until("subscribed")
    return peer


async def _register(node: Node, user_id: str) -> None:
    await node.want(
        None, "POST", "/auth/register", json={"user_id": user_id, "password": "long enough"}
    )


async def test_a_logout_ends_the_connections_of_that_login_only(node: Node) -> None:
    await _register(node, "rita")
    first, refresh = await _login(node, "rita")
    second, _ = await _login(node, "rita")
    ended, lives = await _connect(node, first), await _connect(node, second)
    by_ticket_of_first = await node.http.post(
        f"{node.url}/auth/ticket", headers={"Authorization": f"Bearer {first}"}
    )
    ticket = by_ticket_of_first.json()["token"]
    answer = await node.call(
        None, "POST", "/auth/logout", headers={"Cookie": f"refresh_token={refresh}"}
    )
    assert answer.json() == {"status": "logged out"}
    assert (await ended.closed()).code == 4500
    for target, headers in (
        ("/ws", {"Authorization": f"Bearer {first}"}),
        (f"/ws?token={ticket}", {}),
    ):
        with pytest.raises(Refused) as caught:
            await node.open(target, headers)
        assert caught.value.status == 401
    await lives.say(1, "the other login goes on")


async def test_a_reused_refresh_token_ends_its_login_and_its_connections(node: Node) -> None:
    await _register(node, "rita")
    _, stolen = await _login(node, "rita")
    cookie = {"Cookie": f"refresh_token={stolen}"}
    answer = await node.call(None, "POST", "/auth/refresh", headers=cookie)
    successor = answer.cookies["refresh_token"]
    node.http.cookies.clear()
    peer = await _connect(node, answer.json()["access_token"])
    again = await node.call(
        None, "POST", "/auth/refresh", headers={"Cookie": f"refresh_token={successor}"}
    )
    assert again.status_code == 200
    node.http.cookies.clear()
    # Beyond the moment in which two tabs of one browser may both ask.
    node.gateway.actions.auth._refreshes.clear()
    reused = await node.call(None, "POST", "/auth/refresh", headers=cookie)
    assert reused.status_code == 401
    assert (await peer.closed()).code == 4500


async def test_a_new_password_ends_every_connection_of_the_user(node: Node) -> None:
    await _register(node, "rita")
    await _register(node, "sam")
    rita = [await _connect(node, (await _login(node, "rita"))[0]) for _ in range(2)]
    sam = await _connect(node, (await _login(node, "sam"))[0])
    access, _ = await _login(node, "rita")
    answer = await node.call(
        None,
        "PATCH",
        "/auth/me",
        json={"password": "another long one"},
        headers={"Authorization": f"Bearer {access}"},
    )
    assert answer.status_code == 200, answer.text
    node.http.cookies.clear()
    for peer in rita:
        assert (await peer.closed()).code == 4500
    await sam.say(1, "undisturbed")
    again = await _connect(node, (await _login(node, "rita", "another long one"))[0])
    await again.say(1, "back with the new one")


async def test_a_deleted_user_is_thrown_out_and_the_messages_stay(node: Node) -> None:
    mallory = await node.join("mallory", "/ws?channel_id=1")
    alice = await node.join("alice", "/ws?channel_id=1")
    await mallory.say(1, "I was here")
    old = token("mallory", 500)
    assert (await node.want("mallory", "DELETE", "/auth/me")) == {"status": "deleted"}
    assert (await mallory.closed()).code == 4500
    (stored,) = await node.history("alice", 1)
    assert (stored["payload"], stored["author_deleted"]) == ("I was here", True)
    with pytest.raises(Refused) as caught:
        await node.open(headers={"Authorization": f"Bearer {old}"})
    assert caught.value.status == 401
    await alice.say(1, "life goes on")


async def test_what_is_said_waits_until_it_is_known_who_may_still_hear_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await Room.make(node, "public")
    visitor = await node.join("visitor")
    await visitor.subscribe(room.channel)
    channels = node.gateway.store.channels
    real, asked, gate = channels.access, asyncio.Event(), asyncio.Event()

    async def access(pairs: Any) -> Any:
        asked.set()
        await gate.wait()
        return await real(pairs)

    monkeypatch.setattr(channels, "access", access)
    await room.want("PATCH", "", json={"visibility": "private"})
    await asked.wait()
    await room.alice.say(room.channel, "members only")
    await visitor.until("channel.updated")
    await visitor.ask("ping")
    assert "members only" not in str(room.bob.events)
    gate.set()
    for member in (room.bob, room.carol):
        await member.until("message", payload="members only")
    await visitor.ask("ping")
    assert "members only" not in str(visitor.events)
