"""What control events take away, and from whom."""

import asyncio
from typing import Any, Literal

import pytest
from hub_harness import Listener, Node, until
from store_harness import GENERAL

from storm_gateway.bus.base import ControlEvent
from storm_gateway.errors import ForbiddenError, NotFoundError, StormError, UnavailableError

BODY = b'{"type":"told"}'


def told(listener: Listener) -> int:
    return len(listener.said("told"))


async def test_who_lost_access_is_cut_at_once_on_every_connection_and_told(node: Node) -> None:
    one, two, other = [await node.listen(user_id) for user_id in ("alice", "alice", "bob")]
    elsewhere = node.connect("alice")
    node.control.on_event(ControlEvent("access_lost", "alice", GENERAL, body=BODY))
    assert [told(item) for item in (one, two, elsewhere, other)] == [1, 1, 1, 0]
    assert [bool(item.feeds) for item in (one, two, elsewhere, other)] == [0, 0, 0, 1]
    await node.say(2)
    await node.quiet()
    assert [item.seqs for item in (one, two, elsewhere, other)] == [[], [], [], [1, 2]]


async def test_a_cut_stops_what_waits_to_be_written(node: Node) -> None:
    alice, bob = await node.listen("alice"), await node.listen("bob")
    committed = node.send()
    node.harness.committed = _before(  # type: ignore[method-assign]
        node, ControlEvent("access_lost", "alice", GENERAL)
    )
    await committed
    await node.quiet()
    assert (alice.seqs, bob.seqs) == ([], [1])


def _before(node: Node, event: ControlEvent) -> Any:
    """As the publisher does: the right goes before the event itself."""

    def committed(_: object) -> None:
        node.control.on_event(event)

    return committed


async def test_changed_access_is_told_to_connections_that_do_not_hear_it_in_the_channel(
    node: Node,
) -> None:
    inside, outside, other = await node.listen("alice"), node.connect("alice"), node.connect("bob")
    node.control.on_event(ControlEvent("access_changed", "alice", GENERAL, body=BODY))
    assert [told(item) for item in (inside, outside, other)] == [0, 1, 0]
    assert inside.feeds
    node.control.on_event(ControlEvent("access_changed", "alice", 77, body=BODY))
    assert [told(item) for item in (inside, outside, other)] == [1, 2, 0]
    node.control.on_event(ControlEvent("access_changed", "alice", GENERAL))
    assert [told(item) for item in (inside, outside, other)] == [1, 2, 0]


async def test_when_everybodys_access_changed_each_is_looked_at_again(node: Node) -> None:
    members = [await node.listen(user_id) for user_id in ("alice", "bob")]
    strangers = [await node.listen(user_id) for user_id in ("mallory", "mallory")]
    node.refused["mallory"] = ForbiddenError("No.")
    node.control.on_event(ControlEvent("access_changed", channel_id=GENERAL))
    await until(lambda: not any(item.feeds for item in strangers))
    await node.say()
    await node.quiet()
    assert [item.seqs for item in members + strangers] == [[1], [1], [], []]


async def test_who_is_catching_up_is_looked_at_again_too(open_node: Any) -> None:
    node = await open_node(recent_events=0)
    for _ in range(5):
        await node.send("x" * 60_000)
    stranger = node.connect("mallory")
    stranger.takes.clear()
    task = asyncio.create_task(node.subscribe(stranger, 0))
    await until(lambda: stranger.waits)
    node.refused["mallory"] = ForbiddenError("No.")
    node.control.on_event(ControlEvent("access_changed", channel_id=GENERAL))
    await until(lambda: not stranger.feeds)
    sent = len(stranger.given)
    stranger.takes.set()
    await task
    assert len(stranger.given) == sent


@pytest.mark.parametrize("kind", [ForbiddenError, NotFoundError])
async def test_who_is_refused_when_looked_at_again_keeps_the_connection(
    node: Node, kind: type[StormError]
) -> None:
    listener = await node.listen()
    node.refused["alice"] = kind("No.")
    node.control.on_event(ControlEvent("access_changed", channel_id=GENERAL))
    await until(lambda: not listener.feeds)
    assert listener.closed is None


async def test_who_cannot_be_looked_at_again_comes_back_and_misses_nothing(node: Node) -> None:
    """Cut without a word, a member would never learn of what is said from then on."""
    here, too = await node.listen("alice"), await node.listen("alice")
    elsewhere = node.connect("alice")
    node.refused["alice"] = UnavailableError("The store is away.")
    node.control.on_event(ControlEvent("access_changed", channel_id=GENERAL))
    await until(lambda: not (here.feeds or too.feeds))
    assert [item.closed and item.closed[0] for item in (here, too, elsewhere)] == [1011, 1011, None]


async def test_a_fault_while_looking_again_is_logged_and_the_others_are_looked_at(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    listeners = [await node.listen(user_id) for user_id in ("alice", "mallory", "bob")]
    node.refused = {"alice": RuntimeError("a fault"), "mallory": ForbiddenError("No.")}
    node.control.on_event(ControlEvent("access_changed", channel_id=GENERAL))
    await until(lambda: {item.user_id for item in node.feed} == {"bob"})
    assert [item.closed and item.closed[0] for item in listeners] == [1011, None, None]
    assert "looking again at access failed" in caplog.text


async def test_nobody_receives_a_deleted_channel_and_its_subscribers_are_told(
    node: Node,
) -> None:
    subscribers = [await node.listen(user_id) for user_id in ("alice", "bob")]
    outside = node.connect("alice")
    node.control.on_event(ControlEvent("channel_deleted", channel_id=GENERAL, body=BODY))
    assert [told(item) for item in (*subscribers, outside)] == [1, 1, 0]
    assert node.counts.subscriptions == 0
    await node.say()
    await node.quiet()
    assert [item.seqs for item in subscribers] == [[], []]


@pytest.mark.parametrize("kind", ["user_revoked", "session_revoked"])
async def test_revoked_connections_are_closed_and_no_others(
    node: Node, kind: Literal["user_revoked", "session_revoked"]
) -> None:
    old, new, other = node.connect("alice"), node.connect("alice"), node.connect("bob")
    node.revoked = {old, other}
    node.control.on_event(ControlEvent(kind, "alice", session_id="s", at=1))
    assert [item.closed and item.closed[0] for item in (old, new, other)] == [4500, None, None]


async def test_a_session_revoked_without_a_user_is_looked_for_everywhere(node: Node) -> None:
    items = [node.connect(user_id) for user_id in ("alice", "bob", "carol")]
    node.revoked = {items[0], items[2]}
    node.control.on_event(ControlEvent("session_revoked", session_id="s"))
    assert [bool(item.closed) for item in items] == [True, False, True]


async def test_an_event_for_a_user_goes_to_all_of_the_users_connections(node: Node) -> None:
    items = [node.connect("alice"), await node.listen("alice"), node.connect("bob")]
    node.control.on_event(ControlEvent("user_event", "alice", body=BODY))
    assert [told(item) for item in items] == [1, 1, 0]


@pytest.mark.parametrize(
    "kind",
    [
        "access_lost",
        "access_changed",
        "channel_deleted",
        "user_revoked",
        "session_revoked",
        "user_event",
    ],
)
async def test_what_concerns_nobody_here_is_no_error(node: Node, kind: Any) -> None:
    node.control.on_event(ControlEvent(kind, "nobody", 77, "s", body=BODY))
    node.control.on_event(ControlEvent(kind, channel_id=77))


async def test_a_cut_is_remembered_for_a_moment(node: Node) -> None:
    control, now = node.control, asyncio.get_running_loop().time()
    assert not control.cut_lately("alice", GENERAL)
    control.on_event(ControlEvent("access_lost", "alice", GENERAL))
    assert control.cut_lately("alice", GENERAL)
    assert not control.cut_lately("bob", GENERAL)
    assert not control.cut_lately("alice", 77)
    control.sweep(now + 9)
    assert control.cut_lately("alice", GENERAL)
    control.sweep(now + 11)
    assert not control.cut_lately("alice", GENERAL)


async def test_stopping_ends_the_looking_again(node: Node) -> None:
    never = asyncio.Event()

    async def may_receive(user_id: str, channel_id: int) -> None:
        await never.wait()

    node.control._may_receive = may_receive
    await node.listen()
    node.control.on_event(ControlEvent("access_changed", channel_id=GENERAL))
    await asyncio.sleep(0)
    await node.control.stop()
    assert len(asyncio.all_tasks()) == 1
