"""Messages, typing, reading and streams, below both edges."""

import asyncio
from pathlib import Path

import pytest
from actions_node import Node

from storm_gateway.actions import messages as module
from storm_gateway.actions import reads
from storm_gateway.actions.messages import MessageActions
from storm_gateway.actions.reads import ReadActions
from storm_gateway.bus.base import StreamEvent
from storm_gateway.config import Config
from storm_gateway.errors import (
    BannedError,
    ForbiddenError,
    InvalidCommandError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    StormError,
    UnauthenticatedError,
    UnavailableError,
)
from storm_gateway.store.records import Appended, Joined


class Monotonic:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        ("", InvalidCommandError),
        (" \n\u2003", InvalidCommandError),
        ("a\x00b", InvalidCommandError),
        ("x" * 4_001, PayloadTooLargeError),
    ],
)
async def test_a_payload_that_cannot_be_a_message_is_told_at_once(
    node: Node, payload: str, refusal: type[StormError]
) -> None:
    outcomes: list[Appended | StormError] = []
    node.actions.messages.send("alice", 1, payload, None, outcomes.append)
    assert [type(outcome) for outcome in outcomes] == [refusal]
    with pytest.raises(refusal):
        await node.actions.messages.edit("alice", 1, 1, payload)


async def test_sending_hears_the_outcome_after_the_commit(node: Node) -> None:
    heard: asyncio.Future[Appended | StormError] = asyncio.get_running_loop().create_future()
    node.actions.messages.send("alice", 1, "hi", "r", heard.set_result)
    assert not heard.done()
    outcome = await heard
    assert isinstance(outcome, Appended)
    assert (await node.actions.messages.get("alice", 1, outcome.event.id)).payload == "hi"
    with pytest.raises(NotFoundError):
        await node.actions.messages.post("alice", 99, "hi")


async def test_one_who_stops_waiting_does_no_harm(node: Node) -> None:
    post = asyncio.create_task(node.actions.messages.post("alice", 1, "hi"))
    enter = asyncio.create_task(node.actions.channels.enter("alice", 1))
    await asyncio.sleep(0)
    for task in (post, enter):
        task.cancel()
    await asyncio.gather(post, enter, return_exceptions=True)
    # Commits come in order: when this one is told, the one before it is done.
    await node.actions.messages.post("bob", 1, "next")
    history = await node.actions.messages.history("bob", 1)
    assert [message.payload for message in history] == ["next", "hi"]
    assert (await node.actions.channels.get("alice", 1)).role == "member"


async def test_a_right_that_was_taken_cannot_be_used_whatever_the_cache_says(node: Node) -> None:
    await node.make("alice", "bob")
    club = (await node.actions.channels.create("alice", "club")).id
    await node.actions.access.load("bob", club)
    # As another node's ban, whose control event is still on its way.
    await node.store.channels.remove(club, "bob", "alice", lambda *_: None, ban=True)
    with pytest.raises(BannedError):
        await node.actions.messages.post("bob", club, "hi")


async def test_typing_is_told_at_most_every_three_seconds(node: Node) -> None:
    clock = Monotonic()
    typing = MessageActions(
        node.config, node.store, node.actions.access, node.actions.publisher, clock=clock
    ).typing
    await node.make("alice", "bob")
    await node.listen(1)
    await typing("alice", 1)
    await typing("alice", 1)
    await typing("bob", 1)
    clock.now = 2.9
    await typing("alice", 1)
    assert len(node.events) == 2
    clock.now = 3.0
    await typing("alice", 1)
    assert len(node.events) == 3
    assert b'"expires_in_ms":6000' in node.channel_events()[0].body


async def test_only_those_who_may_post_are_seen_typing(node: Node) -> None:
    await node.make("alice", "bob")
    secret = (await node.actions.channels.create("alice", "secret", "private")).id
    await node.listen(secret)
    with pytest.raises(NotFoundError):
        await node.actions.messages.typing("bob", secret)
    assert node.events == []


async def test_only_so_many_typists_are_remembered(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TYPISTS", 2)
    for user_id in ("a", "b", "c"):
        await node.actions.messages.typing(user_id, 1)
    assert [user_id for user_id, _ in node.actions.messages._typists] == ["b", "c"]


async def test_the_size_of_a_channel_is_asked_for_now_and_then(tmp_path: Path) -> None:
    node = Node(Config(data_dir=tmp_path, named_members=1))
    await node.start()
    clock = Monotonic()
    read = ReadActions(
        node.config, node.store, node.actions.access, node.actions.publisher, clock=clock
    ).read
    await node.actions.channels.enter("alice", 1)
    await node.listen(1)
    assert await read("alice", 1, 99) == 1
    await node.actions.channels.enter("bob", 1)
    await read("alice", 1, 1)
    clock.now = 30
    await read("alice", 1, 1)
    audiences = [event.audience for event in node.channel_events() if not event.seq]
    assert audiences == [None, None, "alice"]
    await node.stop()


async def test_only_so_many_sizes_are_remembered(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "SIZES", 2)
    await node.make("alice")
    for name in ("a", "b", "c"):
        channel = (await node.actions.channels.create("alice", name)).id
        await node.actions.reads.read("alice", channel, 1)
    assert list(node.actions.reads._crowded) == [3, 4]


async def test_only_members_have_a_cursor(node: Node) -> None:
    await node.make("alice", "bob")
    with pytest.raises(ForbiddenError):
        await node.actions.reads.read("alice", 1, 1)
    secret = (await node.actions.channels.create("alice", "secret", "private")).id
    with pytest.raises(NotFoundError):
        await node.actions.reads.read("bob", secret, 1)
    with pytest.raises(NotFoundError):
        await node.actions.reads.read_message("bob", secret, 1)


async def test_what_joining_refuses_is_told(node: Node) -> None:
    await node.make("alice", "bob")
    secret = (await node.actions.channels.create("alice", "secret", "private")).id
    with pytest.raises(NotFoundError):
        await node.actions.channels.enter("bob", secret)
    outcomes: asyncio.Future[Joined | StormError] = asyncio.get_running_loop().create_future()
    node.actions.channels.join("bob", 1, outcomes.set_result)
    joined = await outcomes
    assert isinstance(joined, Joined)
    assert joined.created


async def test_direct_channels_have_a_way_of_their_own(node: Node) -> None:
    await node.make("alice")
    with pytest.raises(InvalidRequestError):
        await node.actions.channels.create("alice", "x", "direct")
    club = (await node.actions.channels.create("alice", "club")).id
    with pytest.raises(InvalidRequestError):
        await node.actions.channels.update("alice", club, visibility="direct")


async def test_an_event_larger_than_a_body_may_be_is_refused(tmp_path: Path) -> None:
    node = Node(Config(data_dir=tmp_path, body_bytes=1_024))
    with pytest.raises(PayloadTooLargeError):
        node.actions.streams.publish("storm.x", b"x" * 1_025)


async def test_the_prefix_of_streams_is_configured_and_channels_are_never_in_it(
    tmp_path: Path,
) -> None:
    node = Node(Config(data_dir=tmp_path, stream_prefix="app."))
    await node.start()
    heard = await node.listen("app.x")
    node.actions.streams.publish("app.x", b'{"a":1}', "application/json; charset=utf-8")
    assert isinstance(heard[0], StreamEvent)
    assert heard[0].body == b'{"type":"event","subject":"app.x","payload":{"a":1}}'
    for subject in ("storm.x", "channels.1", "nodes", "apple.x"):
        with pytest.raises(ForbiddenError):
            node.actions.streams.may_listen(subject)
    with pytest.raises(InvalidRequestError):
        node.actions.streams.publish("app.x", b"[" * 100_000, "application/json")
    await node.stop()


async def test_a_view_that_is_gone_in_between_is_not_found(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> None:
        return None

    monkeypatch.setattr(node.store.channels, "view", gone)
    with pytest.raises(NotFoundError):
        await node.actions.channels.get("alice", 1)


async def test_a_token_whose_user_was_never_here_shows_nobody(node: Node) -> None:
    with pytest.raises(UnauthenticatedError):
        await node.actions.users.me("nobody")
    assert not await node.actions.users.is_admin("nobody")


@pytest.mark.parametrize("subject", ["", ".", "storm.", ".x", "storm..x", "a b", "x" * 256, "x\n"])
async def test_what_is_no_subject_is_refused(node: Node, subject: str) -> None:
    with pytest.raises(InvalidRequestError):
        node.actions.streams.may_listen(subject)


async def test_after_the_end_of_the_store_everything_is_unavailable(tmp_path: Path) -> None:
    node = Node(Config(data_dir=tmp_path))
    await node.start()
    await node.stop()
    with pytest.raises(UnavailableError):
        await node.actions.messages.post("alice", 1, "hi")
