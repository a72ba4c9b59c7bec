"""Who may do what: every command and every route, asked by everybody (no object is reached by
knowing its id).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from harness import Node, Peer

ROLES = ("owner", "moderator", "member", "ex-member", "stranger", "banned")
Outcome = str
"""``ok``, or the code of the refusal."""
Operation = Callable[["Scene", str], Awaitable[Outcome]]


def _row(owner: str, moderator: str, member: str, others: str) -> dict[str, str]:
    return {
        "owner": owner,
        "moderator": moderator,
        "member": member,
        "ex-member": others,
        "stranger": others,
        "banned": "banned",
    }


class Scene:
    """A channel with one user of each role, and things to act upon."""

    def __init__(self, node: Node, channel: int) -> None:
        self.node = node
        self.channel = channel
        self.peers: dict[str, Peer] = {}
        self._targets = 0

    @classmethod
    async def make(cls, node: Node, visibility: str) -> "Scene":
        people = ("moderator", "member", "ex-member", "banned", "author")
        scene = cls(node, await node.channel("owner", "the room", visibility, people))
        await scene.by_owner("PATCH", "/members/moderator", json={"role": "moderator"})
        await scene.by_owner("DELETE", "/members/ex-member")
        await scene.by_owner("PUT", "/bans/banned")
        for role in (*ROLES, "author"):
            scene.peers[role] = await node.join(role)
        return scene

    async def by_owner(self, method: str, path: str, **options: Any) -> Any:
        return await self.node.want("owner", method, f"/channels/{self.channel}{path}", **options)

    async def message(self) -> int:
        """A new message of the author."""
        found: int = (await self.peers["author"].say(self.channel, "of the author"))["id"]
        return found

    async def target(self, *, banned: bool = False) -> str:
        """A new member, or somebody new who is banned."""
        self._targets += 1
        user_id = f"target{self._targets}"
        await self.node.know(user_id)
        await self.by_owner("POST", "/members", json={"user_id": user_id})
        if banned:
            await self.by_owner("PUT", f"/bans/{user_id}")
        return user_id


def command(name: str, *, message: bool = False, **fields: Any) -> Operation:
    async def run(scene: Scene, role: str) -> Outcome:
        extra = {"message_id": await scene.message()} if message else {}
        reply = await scene.peers[role].ask(name, channel_id=scene.channel, **fields, **extra)
        return "ok" if reply["type"] in ("ack", "subscribed") else reply["code"]

    return run


def route(method: str, path: str, **options: Any) -> Operation:
    async def run(scene: Scene, role: str) -> Outcome:
        filled = path
        if "{message}" in path:
            filled = filled.replace("{message}", str(await scene.message()))
        if "{target}" in path:
            filled = filled.replace("{target}", await scene.target())
        if "{outcast}" in path:
            filled = filled.replace("{outcast}", await scene.target(banned=True))
        answer = await scene.node.call(
            role, method, f"/channels/{scene.channel}{filled}", **options
        )
        return "ok" if answer.is_success else answer.json()["code"]

    return run


RECEIVE: dict[str, Operation] = {
    "subscribe": command("subscribe"),
    "subscribe from the beginning": command("subscribe", since=0),
    "GET channel": route("GET", ""),
    "GET members": route("GET", "/members"),
    "GET messages": route("GET", "/messages"),
    "GET message": route("GET", "/messages/{message}"),
    "GET presence": route("GET", "/presence"),
}
POST: dict[str, Operation] = {
    "message": command("message", payload="hello"),
    "typing": command("typing"),
    "react": command("react", message=True, emoji="👍"),
    "unreact": command("unreact", message=True, emoji="👍"),
    "POST message": route("POST", "/messages", json={"payload": "hello"}),
    "PUT reaction": route("PUT", "/messages/{message}/reactions/x"),
    "DELETE reaction": route("DELETE", "/messages/{message}/reactions/x"),
}
EDIT_OTHERS: dict[str, Operation] = {
    "edit": command("edit", message=True, payload="changed"),
    "PATCH message": route("PATCH", "/messages/{message}", json={"payload": "changed"}),
}
MODERATE: dict[str, Operation] = {
    "delete": command("delete", message=True),
    "DELETE message": route("DELETE", "/messages/{message}"),
    "GET bans": route("GET", "/bans"),
    "POST member": route("POST", "/members", json={"user_id": "author"}),
    "DELETE member": route("DELETE", "/members/{target}"),
    "PUT ban": route("PUT", "/bans/{target}"),
    "DELETE ban": route("DELETE", "/bans/{outcast}"),
}
MANAGE: dict[str, Operation] = {
    "PATCH member": route("PATCH", "/members/{target}", json={"role": "moderator"}),
    "PATCH channel": route("PATCH", "", json={"topic": "changed"}),
}

PRIVATE = {
    **dict.fromkeys([*RECEIVE, *POST], _row("ok", "ok", "ok", "not_found")),
    **dict.fromkeys(EDIT_OTHERS, _row("forbidden", "forbidden", "forbidden", "not_found")),
    **dict.fromkeys(MODERATE, _row("ok", "ok", "forbidden", "not_found")),
    **dict.fromkeys(MANAGE, _row("ok", "forbidden", "forbidden", "not_found")),
}
PUBLIC = {
    **dict.fromkeys([*RECEIVE, *POST], _row("ok", "ok", "ok", "ok")),
    **dict.fromkeys(EDIT_OTHERS, _row("forbidden", "forbidden", "forbidden", "forbidden")),
    **dict.fromkeys(MODERATE, _row("ok", "ok", "forbidden", "forbidden")),
    **dict.fromkeys(MANAGE, _row("ok", "forbidden", "forbidden", "forbidden")),
}
OPERATIONS = {**RECEIVE, **POST, **EDIT_OTHERS, **MODERATE, **MANAGE}


@pytest.mark.parametrize("visibility", ["private", "public"])
async def test_every_operation_asks_what_the_user_is_in_the_channel(
    node: Node, visibility: str
) -> None:
    scene = await Scene.make(node, visibility)
    expected = PRIVATE if visibility == "private" else PUBLIC
    wrong = []
    for name, operation in OPERATIONS.items():
        for role in ROLES:
            outcome = await operation(scene, role)
            if outcome != expected[name][role]:
                wrong.append(f"{name} by {role}: {outcome}, not {expected[name][role]}")
    assert not wrong, "\n".join(wrong)


async def test_nobody_but_the_user_changes_or_deletes_a_user(node: Node) -> None:
    for user_id in ("alice", "mallory"):
        await node.know(user_id)
    for method, options in (
        ("PATCH", {"json": {"display_name": "hacked"}}),
        ("PATCH", {"json": {"password": "hacked hacked"}}),
        ("PATCH", {"json": {"admin": True}}),
        ("DELETE", {}),
    ):
        answer = await node.call("mallory", method, "/users/alice", **options)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    # Nor does anybody raise oneself.
    answer = await node.call("mallory", "PATCH", "/users/mallory", json={"admin": True})
    assert answer.status_code == 403
    assert (await node.want("alice", "GET", "/users/alice"))["display_name"] == "alice"


async def test_without_a_token_every_route_of_a_channel_is_401(node: Node) -> None:
    for method, path in (
        ("GET", "/channels"),
        ("POST", "/channels"),
        ("GET", "/channels/1"),
        ("PATCH", "/channels/1"),
        ("DELETE", "/channels/1"),
        ("POST", "/channels/1/join"),
        ("POST", "/channels/1/leave"),
        ("GET", "/channels/1/presence"),
        ("GET", "/channels/1/members"),
        ("POST", "/channels/1/members"),
        ("GET", "/channels/1/bans"),
        ("PUT", "/channels/1/bans/bob"),
        ("GET", "/channels/1/messages"),
        ("POST", "/channels/1/messages"),
        ("POST", "/channels/1/messages/1/read"),
        ("POST", "/direct"),
        ("POST", "/publish"),
        ("GET", "/users"),
        ("GET", "/users/alice"),
        ("GET", "/auth/me"),
        ("POST", "/auth/ticket"),
    ):
        answer = await node.call(None, method, path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), path


async def test_a_private_channel_is_entered_by_invitation_alone(node: Node) -> None:
    scene = await Scene.make(node, "private")
    outcomes = {role: await route("POST", "/join")(scene, role) for role in ROLES}
    assert outcomes == _row("ok", "ok", "ok", "not_found")
    for outsider, code in (
        ("ex-member", "not_found"),
        ("stranger", "not_found"),
        ("banned", "banned"),
    ):
        assert await route("POST", "/leave")(scene, outsider) == code
        assert await route("DELETE", "")(scene, outsider) == code
        visible = await node.want(outsider, "GET", "/channels")
        assert scene.channel not in [channel["id"] for channel in visible]
    assert await route("DELETE", "")(scene, "moderator") == "forbidden"
    assert await route("DELETE", "")(scene, "owner") == "ok"


async def test_ranks_protect_those_above(node: Node) -> None:
    scene = await Scene.make(node, "private")
    for victim in ("owner", "author"):
        await scene.by_owner("POST", "/members", json={"user_id": victim})
    await scene.by_owner("PATCH", "/members/author", json={"role": "moderator"})
    for method, path in (
        ("DELETE", "/members/owner"),
        ("PUT", "/bans/owner"),
        ("DELETE", "/members/author"),
        ("PUT", "/bans/author"),
        ("PATCH", "/members/moderator"),
    ):
        options = {"json": {"role": "owner"}} if method == "PATCH" else {}
        assert await route(method, path, **options)(scene, "moderator") == "forbidden", path
    assert await route("DELETE", "/members/author")(scene, "owner") == "ok"


async def test_a_direct_channel_is_its_two_users_whoever_asks(
    start_node: Callable[..., Awaitable[Node]],
) -> None:
    node = await start_node(admins="root")
    for user_id in ("alice", "bob", "root", "mallory"):
        await node.know(user_id)
    made = await node.call("alice", "POST", "/direct", json={"user_id": "bob"})
    again = await node.call("bob", "POST", "/direct", json={"user_id": "alice"})
    assert (made.status_code, again.status_code) == (201, 200)
    direct = made.json()["id"]
    assert again.json()["id"] == direct
    assert (made.json()["peer"], again.json()["peer"]) == ("bob", "alice")
    alice, bob, mallory, root = [
        await node.join(name) for name in ("alice", "bob", "mallory", "root")
    ]
    await bob.subscribe(direct)
    await alice.say(direct, "between us")
    assert (await bob.until("message"))["payload"] == "between us"
    for outsider in (mallory, root):
        for name, fields in (("subscribe", {}), ("message", {"payload": "x"})):
            reply = await outsider.ask(name, channel_id=direct, **fields)
            assert reply["code"] == "not_found"
    for outsider_id in ("mallory", "root"):
        answer = await node.call(outsider_id, "GET", f"/channels/{direct}/messages")
        assert answer.status_code == 404
        visible = await node.want(outsider_id, "GET", "/channels")
        assert direct not in [channel["id"] for channel in visible]
    for method, path, options in (
        ("POST", "/members", {"json": {"user_id": "mallory"}}),
        ("DELETE", "/members/bob", {}),
        ("PUT", "/bans/bob", {}),
        ("PATCH", "/members/bob", {"json": {"role": "member"}}),
        ("PATCH", "", {"json": {"name": "x"}}),
        ("DELETE", "", {}),
        ("POST", "/leave", {}),
    ):
        answer = await node.call("alice", method, f"/channels/{direct}{path}", **options)
        assert answer.status_code == 403, f"{method} {path}: {answer.text}"
    for body, status in (({"user_id": "alice"}, 409), ({"user_id": "nobody-at-all"}, 404)):
        answer = await node.call("alice", "POST", "/direct", json=body)
        assert answer.status_code == status


async def test_a_server_administrator_may_what_an_owner_may(
    start_node: Callable[..., Awaitable[Node]],
) -> None:
    node = await start_node(admins="root")
    await node.know("root")
    scene = await Scene.make(node, "private")
    scene.peers["root"] = await node.join("root")
    for name, operation in {**RECEIVE, **POST, **MODERATE, **MANAGE}.items():
        assert await operation(scene, "root") == "ok", name
    for name, operation in EDIT_OTHERS.items():
        assert await operation(scene, "root") == "forbidden", name


async def test_an_administrator_no_longer_one_receives_nothing_more_as_such(
    start_node: Callable[..., Awaitable[Node]],
) -> None:
    node = await start_node(admins="root")
    for name in ("root", "ada"):
        await node.know(name)
    await node.want("root", "PATCH", "/users/ada", json={"admin": True})
    private = await node.channel("alice", "theirs", "private", ("carol",))
    public = await node.channel("alice", "everybody's", "public")
    alice, ada, carol = [await node.join(name) for name in ("alice", "ada", "carol")]
    for channel in (private, public):
        await ada.subscribe(channel)
        await carol.subscribe(channel)
    await node.want("root", "PATCH", "/users/ada", json={"admin": False})
    (connection,) = node.gateway.hub.connections_of("ada")
    async with asyncio.timeout(5):
        while len(connection.feeds) > 1:
            await ada.ask("ping")
    await alice.say(private, "not for ada")
    await alice.say(public, "for all")
    await carol.until("message", payload="not for ada")
    await ada.until("message", payload="for all")
    assert "not for ada" not in str(ada.events)
