"""A command with the same ref is carried out once, for ever."""

from collections.abc import Awaitable, Callable

from harness import Node, all_of

Start = Callable[..., Awaitable[Node]]


async def test_the_same_ref_on_many_connections_at_once_is_one_message(node: Node) -> None:
    peers = [await node.join("alice") for _ in range(10)]
    watcher = await node.join("bob", "/ws?channel_id=1")
    acks = await all_of(*(peer.say(1, "once", ref="same") for peer in peers))
    assert len({(ack["id"], ack["seq"]) for ack in acks}) == 1
    await peers[0].say(1, "fence")
    await watcher.until("message", payload="fence")
    assert [event["payload"] for event in watcher.of("message")] == ["once", "fence"]
    assert [m["payload"] for m in await node.history("alice", 1)] == ["once", "fence"]


async def test_the_same_ref_gives_the_same_answer_after_a_restart_and_by_rest(
    start_node: Start,
) -> None:
    first = await start_node()
    alice = await first.join("alice", "/ws?channel_id=1")
    sent = await alice.say(1, "once", ref="r")
    edit = await alice.ask("edit", channel_id=1, message_id=sent["id"], payload="edited", ref="e")
    react = await alice.ask("react", channel_id=1, message_id=sent["id"], emoji="x", ref="x")
    await first.stop()
    node = await start_node(data_dir=first.config.data_dir)
    alice = await node.join("alice")
    again = await alice.say(1, "another text", ref="r")
    assert (again["id"], again["seq"]) == (sent["id"], sent["seq"])
    by_rest = await node.want(
        "alice", "POST", "/channels/1/messages", json={"payload": "third", "ref": "r"}
    )
    assert (by_rest["id"], by_rest["seq"]) == (sent["id"], sent["seq"])
    for name, fields, earlier in (
        ("edit", {"payload": "edited"}, edit),
        ("react", {"emoji": "x"}, react),
    ):
        repeated = await alice.ask(
            name, channel_id=1, message_id=sent["id"], ref=earlier["ref"], **fields
        )
        assert repeated == earlier
    head = (await alice.subscribe(1))["head"]
    assert head == react["seq"]
    assert [m["payload"] for m in await node.history("alice", 1)] == ["edited"]


async def test_a_ref_belongs_to_one_user_and_one_channel(node: Node) -> None:
    other = await node.channel("alice", "elsewhere")
    alice, bob = await node.join("alice"), await node.join("bob")
    acks = [
        await alice.say(1, "hers", ref="r"),
        await bob.say(1, "his", ref="r"),
        await alice.say(other, "hers, elsewhere", ref="r"),
    ]
    assert len({ack["id"] for ack in acks}) == 3


async def test_a_ref_of_a_refused_command_can_be_used_again(node: Node) -> None:
    channel = await node.channel("alice", "club", "private")
    bob = await node.join("bob")
    refused = await bob.ask("message", channel_id=channel, payload="hello", ref="r")
    assert refused["code"] == "not_found"
    await node.want("alice", "POST", f"/channels/{channel}/members", json={"user_id": "bob"})
    assert await bob.say(channel, "hello", ref="r")


async def test_without_a_ref_nothing_is_acknowledged_and_everything_is_stored(node: Node) -> None:
    alice = await node.join("alice", "/ws?channel_id=1")
    for _ in range(3):
        alice.send("message", channel_id=1, payload="the same")
    await alice.say(1, "fence")
    await alice.until("message", payload="fence")
    assert len(alice.of("ack")) == 1
    assert [m["payload"] for m in await node.history("alice", 1)] == ["the same"] * 3 + ["fence"]
