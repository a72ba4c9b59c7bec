"""Channels, members and messages over REST."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from api_node import Api, refusal

from storm_gateway.presence.base import PresenceSnapshot

TOO_BIG = 2**53


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    api = Api(tmp_path, named_members=3, commands_per_second=1e6, commands_burst=10**6)
    await api.start()
    yield api
    await api.stop()


async def create(owner: httpx2.AsyncClient, name: str = "club", **more: object) -> int:
    answer = await owner.post("/channels", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def invite(by: httpx2.AsyncClient, channel: int, user_id: str) -> None:
    answer = await by.post(f"/channels/{channel}/members", json={"user_id": user_id})
    assert answer.status_code == 201, answer.text


# --- channels ---


async def test_a_new_database_has_one_public_channel(api: Api) -> None:
    alice = await api.user("alice")
    [general] = (await alice.get("/channels")).json()
    assert (general["id"], general["name"], general["visibility"]) == (1, "general", "public")
    assert (general["role"], general["unread"], general["peer"]) == (None, 0, None)


async def test_a_channel_is_made_found_changed_and_deleted(api: Api) -> None:
    alice = await api.user("alice")
    made = await alice.post("/channels", json={"name": " club ", "topic": "ours"})
    assert made.status_code == 201
    club = made.json()
    assert (club["name"], club["topic"], club["created_by"]) == ("club", "ours", "alice")
    assert (club["visibility"], club["role"], club["member_count"]) == ("public", "owner", 1)
    path = f"/channels/{club['id']}"
    assert (await alice.get(path)).json() == club
    taken = await alice.post("/channels", json={"name": "club"})
    assert refusal(taken) == (409, "name_taken")
    change = {"name": "den", "topic": "", "visibility": "private"}
    changed = (await alice.patch(path, json=change)).json()
    assert {key: changed[key] for key in change} == change
    assert refusal(await alice.patch(path, json={})) == (400, "invalid_request")
    assert refusal(await alice.patch(path, json={"name": "general"})) == (409, "name_taken")
    assert (await alice.delete(path)).status_code == 204
    for method in ("GET", "DELETE"):
        assert refusal(await alice.request(method, path)) == (404, "not_found")
    assert "channel_deleted" in [event.kind for event in api.controls]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "  "},
        {"name": None},
        {"name": 7},
        {"name": "x" * 81},
        {"name": "a\nb"},
        {"name": "a\u2028b"},
        {"name": "x", "visibility": "direct"},
        {"name": "x", "visibility": "open"},
        {"name": "x", "topic": "x" * 251},
    ],
)
async def test_a_channel_without_a_proper_name_is_a_400(api: Api, body: object) -> None:
    alice = await api.user("alice")
    assert refusal(await alice.post("/channels", json=body)) == (400, "invalid_request")


@pytest.mark.parametrize("channel", ["0", "-1", "x", "1.5", str(TOO_BIG), "9" * 30, "%00", "1e1"])
async def test_an_id_that_cannot_be_is_a_400(api: Api, channel: str) -> None:
    alice = await api.user("alice")
    for path in (f"/channels/{channel}", f"/channels/1/messages/{channel}"):
        assert refusal(await alice.get(path)) == (400, "invalid_request"), path


async def test_an_unknown_channel_is_a_404_on_every_route(api: Api) -> None:
    alice = await api.user("alice")
    await api.make("bob")
    body = {"user_id": "bob", "role": "member", "name": "x", "payload": "x"}
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/join"),
        ("POST", "/leave"),
        ("GET", "/presence"),
        ("GET", "/members"),
        ("POST", "/members"),
        ("PATCH", "/members/bob"),
        ("DELETE", "/members/bob"),
        ("GET", "/bans"),
        ("PUT", "/bans/bob"),
        ("DELETE", "/bans/bob"),
        ("GET", "/messages"),
        ("POST", "/messages"),
        ("GET", "/messages/1"),
        ("PATCH", "/messages/1"),
        ("DELETE", "/messages/1"),
        ("PUT", "/messages/1/reactions/x"),
        ("DELETE", "/messages/1/reactions/x"),
        ("POST", "/messages/1/read"),
    ):
        for channel in (99, TOO_BIG - 1):
            answer = await alice.request(method, f"/channels/{channel}{path}", json=body)
            assert refusal(answer) == (404, "not_found"), (method, path)


async def test_joining_and_leaving_a_public_channel(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    club = await create(alice)
    for _ in range(2):
        joined = await bob.post(f"/channels/{club}/join")
        assert (joined.status_code, joined.json()["role"]) == (200, "member")
    members = (await bob.get(f"/channels/{club}/members")).json()
    assert [(member["user_id"], member["role"]) for member in members] == [
        ("alice", "owner"),
        ("bob", "member"),
    ]
    assert refusal(await alice.post(f"/channels/{club}/leave")) == (409, "conflict")
    assert (await bob.post(f"/channels/{club}/leave")).status_code == 204
    lost = [event for event in api.controls if event.kind == "access_lost"]
    assert [(event.user_id, event.channel_id) for event in lost] == [("bob", club)]
    assert b'"reason":"left"' in lost[0].body
    assert refusal(await bob.post(f"/channels/{club}/leave")) == (404, "not_found")


async def test_leaving_a_crowded_channel_stops_delivery_too(api: Api) -> None:
    clients = [await api.user(name) for name in ("a", "b", "c", "d", "e")]
    for client in clients:
        assert (await client.post("/channels/1/join")).status_code == 200
    api.controls.clear()
    assert (await clients[0].post("/channels/1/leave")).status_code == 204
    assert [(event.kind, event.user_id) for event in api.controls] == [("access_lost", "a")]
    assert (await clients[1].get("/channels/1")).json()["member_count"] == 4


async def test_a_private_channel_does_not_exist_for_strangers(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    secret = await create(alice, "secret", visibility="private")
    assert secret not in [channel["id"] for channel in (await bob.get("/channels")).json()]
    unknown = refusal(await bob.get("/channels/99"))
    for method, path in (
        ("GET", ""),
        ("POST", "/join"),
        ("POST", "/leave"),
        ("GET", "/presence"),
        ("GET", "/members"),
        ("GET", "/messages"),
        ("POST", "/messages"),
        ("DELETE", ""),
        ("PUT", "/bans/alice"),
    ):
        answer = await bob.request(method, f"/channels/{secret}{path}", json={"payload": "x"})
        assert refusal(answer) == unknown, (method, path)
    await invite(alice, secret, "bob")
    assert (await bob.get(f"/channels/{secret}/messages")).status_code == 200


async def test_closing_a_channel_shuts_strangers_out_at_once(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    club = await create(alice)
    assert (await bob.get(f"/channels/{club}/messages")).status_code == 200
    await alice.patch(f"/channels/{club}", json={"visibility": "private"})
    assert refusal(await bob.get(f"/channels/{club}/messages")) == (404, "not_found")


async def test_a_server_administrator_may_enter_and_moderate_anything_but_direct(api: Api) -> None:
    root, alice, bob = [await api.user(name) for name in ("root", "alice", "bob")]
    secret = await create(alice, "secret", visibility="private")
    assert (await root.get(f"/channels/{secret}")).status_code == 200
    message = (await alice.post(f"/channels/{secret}/messages", content="x")).json()["id"]
    assert (await root.delete(f"/channels/{secret}/messages/{message}")).status_code == 204
    await invite(root, secret, "bob")
    assert (await root.put(f"/channels/{secret}/bans/bob")).status_code == 204
    direct = (await alice.post("/direct", json={"user_id": "bob"})).json()["id"]
    assert refusal(await root.get(f"/channels/{direct}")) == (404, "not_found")
    assert refusal(await root.delete(f"/channels/{direct}")) == (404, "not_found")
    assert refusal(await bob.get(f"/channels/{secret}")) == (403, "banned")


async def test_presence_is_for_those_who_may_receive(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    secret = await create(alice, "secret", visibility="private")
    api.present = PresenceSnapshot(1, ["alice"])
    answer = await alice.get(f"/channels/{secret}/presence")
    assert answer.json() == {"online": 1, "users": ["alice"]}
    assert refusal(await bob.get(f"/channels/{secret}/presence")) == (404, "not_found")
    api.present = PresenceSnapshot(4_000, None)
    crowded = (await bob.get("/channels/1/presence")).json()
    assert crowded == {"online": 4_000, "users": None}


# --- direct channels ---


async def test_a_direct_channel_is_found_again_and_not_made_twice(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    carol = await api.user("carol")
    made = await alice.post("/direct", json={"user_id": "bob"})
    assert made.status_code == 201
    assert (made.json()["visibility"], made.json()["peer"]) == ("direct", "bob")
    found = await bob.post("/direct", json={"user_id": "alice"})
    assert (found.status_code, found.json()["id"]) == (200, made.json()["id"])
    assert found.json()["peer"] == "alice"
    told = [event for event in api.controls if event.user_id == "bob" and event.body]
    assert b'"by":"alice"' in told[0].body
    direct = made.json()["id"]
    assert direct in [channel["id"] for channel in (await bob.get("/channels")).json()]
    assert direct not in [channel["id"] for channel in (await carol.get("/channels")).json()]
    assert refusal(await carol.get(f"/channels/{direct}/messages")) == (404, "not_found")


async def test_a_direct_channel_keeps_its_two_users(api: Api) -> None:
    alice = await api.user("alice")
    await api.make("bob", "carol")
    direct = (await alice.post("/direct", json={"user_id": "bob"})).json()["id"]
    path = f"/channels/{direct}"
    carol = {"user_id": "carol"}
    assert refusal(await alice.post(f"{path}/members", json=carol)) == (403, "forbidden")
    for method, tail, body in (
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", "/leave", None),
        ("PATCH", "/members/bob", {"role": "owner"}),
        ("DELETE", "/members/bob", None),
        ("PUT", "/bans/bob", None),
        ("GET", "/bans", None),
    ):
        answer = await alice.request(method, path + tail, json=body)
        assert refusal(answer) == (403, "forbidden"), (method, tail)


async def test_a_direct_channel_needs_another_user(api: Api) -> None:
    alice = await api.user("alice")
    for body, expected in (
        ({"user_id": "alice"}, (409, "conflict")),
        ({"user_id": "nobody"}, (404, "not_found")),
        ({"user_id": ".."}, (400, "invalid_request")),
        ({}, (400, "invalid_request")),
    ):
        assert refusal(await alice.post("/direct", json=body)) == expected


# --- members ---


async def test_invitations_are_for_moderators_and_are_told(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    await api.make("carol")
    club = await create(alice, visibility="private")
    await invite(alice, club, "bob")
    told = [event for event in api.controls if event.user_id == "bob"]
    assert told[0].kind == "access_changed"
    assert b'"type":"member.joined"' in told[0].body
    again = await alice.post(f"/channels/{club}/members", json={"user_id": "bob"})
    assert (again.status_code, again.json()) == (200, {"channel_id": club, "user_id": "bob"})
    carol = {"user_id": "carol"}
    assert refusal(await bob.post(f"/channels/{club}/members", json=carol)) == (403, "forbidden")
    nobody = await alice.post(f"/channels/{club}/members", json={"user_id": "nobody"})
    assert refusal(nobody) == (404, "not_found")


async def test_roles_are_given_by_owners(api: Api) -> None:
    alice, bob, carol = [await api.user(name) for name in ("alice", "bob", "carol")]
    club = await create(alice)
    for user_id in ("bob", "carol"):
        await invite(alice, club, user_id)
    path = f"/channels/{club}/members"
    owner, moderator = {"role": "owner"}, {"role": "moderator"}
    assert refusal(await bob.patch(f"{path}/bob", json=moderator)) == (403, "forbidden")
    assert (await alice.patch(f"{path}/bob", json=moderator)).status_code == 204
    assert (await bob.get(f"/channels/{club}")).json()["role"] == "moderator"
    assert refusal(await bob.patch(f"{path}/carol", json=moderator)) == (403, "forbidden")
    assert refusal(await alice.patch(f"{path}/nobody", json=owner)) == (404, "not_found")
    for role in ("banned", "admin", "", None, 1):
        answer = await alice.patch(f"{path}/bob", json={"role": role})
        assert refusal(answer) == (400, "invalid_request")
    last = await alice.patch(f"{path}/alice", json={"role": "member"})
    assert refusal(last) == (409, "conflict")
    assert (await alice.patch(f"{path}/bob", json=owner)).status_code == 204
    assert (await bob.patch(f"{path}/alice", json={"role": "member"})).status_code == 204
    assert refusal(await alice.patch(f"{path}/carol", json=owner)) == (403, "forbidden")
    assert (await carol.get(f"/channels/{club}")).json()["role"] == "member"


async def test_who_is_removed_loses_access_at_once_and_may_come_again(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    club = await create(alice, visibility="private")
    await invite(alice, club, "bob")
    assert (await bob.get(f"/channels/{club}/messages")).status_code == 200
    assert (await alice.delete(f"/channels/{club}/members/bob")).status_code == 204
    assert refusal(await bob.get(f"/channels/{club}/messages")) == (404, "not_found")
    gone = await alice.delete(f"/channels/{club}/members/bob")
    assert refusal(gone) == (404, "not_found")
    oneself = await alice.delete(f"/channels/{club}/members/alice")
    assert refusal(oneself) == (409, "conflict")
    await invite(alice, club, "bob")


async def test_a_ban_keeps_out_until_it_is_lifted(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    club = await create(alice)
    await bob.post(f"/channels/{club}/join")
    path = f"/channels/{club}"
    assert refusal(await bob.get(f"{path}/bans")) == (403, "forbidden")
    assert (await alice.put(f"{path}/bans/bob")).status_code == 204
    assert (await alice.put(f"{path}/bans/bob")).status_code == 204
    [ban] = (await alice.get(f"{path}/bans")).json()
    assert (ban["user_id"], ban["display_name"]) == ("bob", "bob")
    assert [member["user_id"] for member in (await alice.get(f"{path}/members")).json()] == [
        "alice"
    ]
    for method, tail in (
        ("GET", ""),
        ("GET", "/messages"),
        ("POST", "/messages"),
        ("POST", "/join"),
        ("GET", "/members"),
        ("POST", "/leave"),
    ):
        answer = await bob.request(method, path + tail, json={"payload": "x"})
        assert refusal(answer) == (403, "banned"), (method, tail)
    assert club not in [channel["id"] for channel in (await bob.get("/channels")).json()]
    banned = await alice.post(f"{path}/members", json={"user_id": "bob"})
    assert refusal(banned) == (409, "conflict")
    assert refusal(await bob.delete(f"{path}/bans/bob")) == (403, "banned")
    assert (await alice.delete(f"{path}/bans/bob")).status_code == 204
    assert refusal(await alice.delete(f"{path}/bans/bob")) == (404, "not_found")
    assert (await bob.post(f"{path}/join")).status_code == 200


async def test_a_moderator_bans_neither_owners_nor_moderators(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    await api.make("carol", "dave")
    club = await create(alice)
    for user_id in ("bob", "carol", "dave"):
        await invite(alice, club, user_id)
    for user_id in ("bob", "carol"):
        await alice.patch(f"/channels/{club}/members/{user_id}", json={"role": "moderator"})
    for user_id in ("alice", "carol"):
        assert refusal(await bob.put(f"/channels/{club}/bans/{user_id}")) == (403, "forbidden")
    assert (await bob.put(f"/channels/{club}/bans/dave")).status_code == 204
    assert refusal(await bob.put(f"/channels/{club}/bans/nobody")) == (404, "not_found")
    assert (await alice.put(f"/channels/{club}/bans/carol")).status_code == 204


# --- messages ---


async def test_a_message_is_posted_as_json_or_as_text(api: Api) -> None:
    alice = await api.user("alice")
    answer = await alice.post("/channels/1/messages", json={"payload": "Hello world"})
    assert answer.status_code == 201
    message = answer.json()
    assert message | {"id": 0, "created_at": ""} == {
        "id": 0,
        "channel_id": 1,
        "user_id": "alice",
        "subject": "channels.1",
        "payload": "Hello world",
        "created_at": "",
        "seq": 1,
        "edited_at": None,
        "deleted": False,
        "author_deleted": False,
        "reactions": [],
    }
    for content, kind, payload in (
        (b"plain \xf0\x9f\x91\x8b", "text/plain; charset=utf-8", "plain 👋"),
        (b'{"payload": "in text"}', "text/plain", '{"payload": "in text"}'),
        (b'{"payload": "curl -d"}', "application/x-www-form-urlencoded", "curl -d"),
        (b"no type", "", "no type"),
        (b'{"payload": "vendor"}', "application/vnd.chat+json", "vendor"),
    ):
        headers = {"content-type": kind}
        sent = await alice.post("/channels/1/messages", content=content, headers=headers)
        assert (sent.status_code, sent.json()["payload"]) == (201, payload)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "text/plain", 400),
        (b"", "application/json", 400),
        (b" \n\t", "text/plain", 400),
        (b"\xff\xfe", "text/plain", 400),
        (b"a\x00b", "text/plain", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{}", "application/json", 400),
        (b'{"payload": ""}', "application/json", 400),
        (b'{"payload": 1}', "application/json", 400),
        (b'{"payload": "\\ud800"}', "application/json", 400),
        (b'{"payload": "x", "ref": ""}', "application/json", 400),
        (b'{"payload": "x", "ref": 1}', "application/json", 400),
        (b'{"payload": "x", "ref": "' + b"r" * 65 + b'"}', "application/json", 400),
        (b"x" * 4_001, "text/plain", 413),
    ],
)
async def test_what_is_no_message_is_refused(
    api: Api, content: bytes, kind: str, status: int
) -> None:
    alice = await api.user("alice")
    answer = await alice.post(
        "/channels/1/messages", content=content, headers={"content-type": kind}
    )
    code = "invalid_request" if status == 400 else "payload_too_large"
    assert refusal(answer) == (status, code)


async def test_a_message_of_the_greatest_length_is_fine(api: Api) -> None:
    alice = await api.user("alice")
    answer = await alice.post("/channels/1/messages", json={"payload": "👋" * 4_000})
    assert answer.status_code == 201


async def test_a_ref_stores_nothing_twice(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    body = {"payload": "once", "ref": "r-1"}
    first, second = [(await alice.post("/channels/1/messages", json=body)) for _ in range(2)]
    assert second.status_code == 201
    assert first.json() == second.json()
    assert (await bob.post("/channels/1/messages", json=body)).json()["id"] != first.json()["id"]
    assert len((await alice.get("/channels/1/messages")).json()) == 2


async def test_history_pages_by_seq_newest_first(api: Api) -> None:
    alice = await api.user("alice")
    for number in range(1, 8):
        await alice.post("/channels/1/messages", content=f"m{number}")

    async def page(**query: object) -> list[str]:
        answer = await alice.get("/channels/1/messages", params=query)  # type: ignore[arg-type]
        return [message["payload"] for message in answer.json()]

    assert await page() == ["m7", "m6", "m5", "m4", "m3", "m2", "m1"]
    assert await page(limit=2) == ["m7", "m6"]
    assert await page(limit=2, before=6) == ["m5", "m4"]
    assert await page(limit=2, after=2) == ["m4", "m3"]
    assert await page(before=1) == []
    assert await page(after=7) == []
    for query in ({"limit": 0}, {"limit": 201}, {"before": -1}, {"after": "x"}):
        answer = await alice.get("/channels/1/messages", params=query)  # type: ignore[arg-type]
        assert refusal(answer) == (400, "invalid_request")


async def test_only_the_author_edits(api: Api) -> None:
    alice, bob, root = [await api.user(name) for name in ("alice", "bob", "root")]
    message = (await alice.post("/channels/1/messages", content="teh")).json()
    path = f"/channels/1/messages/{message['id']}"
    edited = await alice.patch(path, json={"payload": "the", "ref": "e-1"})
    assert edited.status_code == 200
    assert (edited.json()["payload"], edited.json()["seq"]) == ("the", message["seq"])
    assert edited.json()["edited_at"].endswith("Z")
    assert (await bob.get(path)).json() == edited.json()
    for other in (bob, root):
        answer = await other.patch(path, json={"payload": "mine"})
        assert refusal(answer) == (403, "forbidden")
    for payload, expected in (
        (" ", (400, "invalid_request")),
        ("a\x00", (400, "invalid_request")),
        ("x" * 4_001, (413, "payload_too_large")),
        (None, (400, "invalid_request")),
    ):
        assert refusal(await alice.patch(path, json={"payload": payload})) == expected
    unknown = await alice.patch("/channels/1/messages/99", json={"payload": "x"})
    assert refusal(unknown) == (404, "not_found")
    elsewhere = await create(alice)
    answer = await alice.get(f"/channels/{elsewhere}/messages/{message['id']}")
    assert refusal(answer) == (404, "not_found")


async def test_a_deleted_message_leaves_no_text(api: Api) -> None:
    alice, bob, root = [await api.user(name) for name in ("alice", "bob", "root")]
    ids = [(await alice.post("/channels/1/messages", content="x")).json()["id"] for _ in range(2)]
    path = "/channels/1/messages"
    assert refusal(await bob.delete(f"{path}/{ids[0]}")) == (403, "forbidden")
    assert (await alice.delete(f"{path}/{ids[0]}")).status_code == 204
    assert (await alice.delete(f"{path}/{ids[0]}")).status_code == 204
    assert (await root.delete(f"{path}/{ids[1]}")).status_code == 204
    for message in (await bob.get(path)).json():
        assert (message["payload"], message["deleted"]) == ("", True)
    answer = await alice.patch(f"{path}/{ids[0]}", json={"payload": "back"})
    assert refusal(answer) == (404, "not_found")


async def test_reactions_come_and_go(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    message = (await alice.post("/channels/1/messages", content="x")).json()["id"]
    path = f"/channels/1/messages/{message}"
    for client in (bob, alice, bob):
        answer = await client.put(f"{path}/reactions/{quote('👍')}")
        assert answer.status_code == 204
    await bob.put(f"{path}/reactions/%2B1")
    assert (await alice.get(path)).json()["reactions"] == [
        {"emoji": "👍", "user_ids": ["bob", "alice"]},
        {"emoji": "+1", "user_ids": ["bob"]},
    ]
    for _ in range(2):
        assert (await bob.delete(f"{path}/reactions/{quote('👍')}")).status_code == 204
    left = (await alice.get(path)).json()["reactions"]
    assert left == [{"emoji": "👍", "user_ids": ["alice"]}, {"emoji": "+1", "user_ids": ["bob"]}]
    for emoji in ("%20", "a%20b", "%00", "x" * 33):
        answer = await alice.put(f"{path}/reactions/{emoji}")
        assert refusal(answer) == (400, "invalid_request"), emoji


async def test_reading_moves_the_cursor_and_counts_what_is_left(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    await bob.post("/channels/1/join")
    ids = [(await alice.post("/channels/1/messages", content="x")).json()["id"] for _ in range(3)]
    assert (await bob.get("/channels/1")).json()["unread"] == 3
    await api.listen(1)
    old_client = {"recipient_user_id": "alice"}
    read = await bob.post(f"/channels/1/messages/{ids[1]}/read", json=old_client)
    assert (read.status_code, read.content) == (204, b"")
    assert (await bob.get("/channels/1")).json()["unread"] == 1
    await bob.post(f"/channels/1/messages/{ids[0]}/read")
    assert (await bob.get("/channels/1")).json()["unread"] == 1
    [first, _] = api.channel_events()
    assert (first.seq, first.audience) == (0, None)
    assert b'"type":"read"' in first.body
    stranger = await alice.post(f"/channels/1/messages/{ids[0]}/read")
    assert refusal(stranger) == (403, "forbidden")
    assert refusal(await bob.post("/channels/1/messages/99/read")) == (404, "not_found")


async def test_in_a_crowded_channel_only_the_reader_hears_of_reading(api: Api) -> None:
    clients = [await api.user(name) for name in ("a", "b", "c", "d")]
    for client in clients:
        await client.post("/channels/1/join")
    message = (await clients[0].post("/channels/1/messages", content="x")).json()["id"]
    await api.listen(1)
    await clients[1].post(f"/channels/1/messages/{message}/read")
    [event] = api.channel_events()
    assert event.audience == "b"


async def test_every_route_needs_a_token(api: Api) -> None:
    document = (await api.client().get("/openapi.json")).json()
    open_routes = {
        "/healthz",
        "/readyz",
        "/ping-nats",
        "/metrics",
        "/auth/register",
        "/auth/login",
        "/auth/refresh",
        "/auth/logout",
    }
    client = api.client()
    tried = 0
    for path, operations in document["paths"].items():
        if path in open_routes:
            continue
        for method in operations:
            real = path.replace("{user_id}", "alice").replace("{emoji}", "x")
            real = real.replace("{channel_id}", "1").replace("{message_id}", "1")
            answer = await client.request(method.upper(), real, json={})
            assert refusal(answer) == (401, "unauthenticated"), (method, path)
            tried += 1
    assert tried >= 30
