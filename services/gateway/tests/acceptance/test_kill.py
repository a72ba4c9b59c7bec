"""`kill -9` under load: an ack is a promise."""
# ruff: noqa: ASYNC110 the moment of the kill is watched for, not told

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from harness import Closed, Peer, Process, all_of, token

SENDERS = 6
ROUNDS = 3


class Sender:
    """Sends one message after another; what was not acknowledged is sent again, same ref."""

    def __init__(self, number: int) -> None:
        self.user_id = f"sender{number}"
        self.count = 0
        self.acked: dict[str, tuple[int, int]] = {}
        self.repeated = 0
        self._retry = False

    async def send_until_it_dies(self, peer: Peer) -> None:
        try:
            while True:
                await self.send_one(peer)
        except (Closed, ConnectionError):
            # Perhaps stored, perhaps not: nobody knows but the database.
            self._retry = True

    async def send_one(self, peer: Peer) -> None:
        ref = f"ref-{self.count}"
        ack = await peer.say(1, f"{self.user_id} {ref}", ref=ref)
        self.repeated += self._retry
        self._retry = False
        self.acked[ref] = (ack["id"], ack["seq"])
        self.count += 1


async def test_no_acked_message_is_lost_doubled_or_out_of_order_when_the_node_is_killed(
    start_process: Callable[..., Awaitable[Process]], tmp_path: Path
) -> None:
    senders = [Sender(number) for number in range(SENDERS)]
    chance = random.Random(9)
    for _ in range(ROUNDS):
        node = await start_process(data_dir=tmp_path / "data")
        peers = await all_of(*(node.join(s.user_id, "/ws?channel_id=1") for s in senders))
        enough = sum(len(sender.acked) for sender in senders) + chance.randint(150, 400)

        async def kill(node: Process = node, enough: int = enough) -> None:
            while sum(len(sender.acked) for sender in senders) < enough:
                await asyncio.sleep(0.001)
            await node.kill()

        async with asyncio.timeout(30):
            await all_of(
                kill(),
                *(s.send_until_it_dies(p) for s, p in zip(senders, peers, strict=True)),
            )
    node = await start_process(data_dir=tmp_path / "data")
    for sender in senders:
        peer = await node.join(sender.user_id)
        await sender.send_one(peer)
        # A ref of the first life of the node still gives its first answer.
        again = await peer.say(1, "another text", ref="ref-0")
        assert (again["id"], again["seq"]) == sender.acked["ref-0"]

    history = await node.history("sender0", 1)
    texts = [message["payload"] for message in history]
    assert len(texts) == len(set(texts)), "a message is stored twice"
    stored = {message["payload"]: (message["id"], message["seq"]) for message in history}
    for sender in senders:
        for ref, place in sender.acked.items():
            assert stored[f"{sender.user_id} {ref}"] == place
        own = [text for text in texts if text.startswith(f"{sender.user_id} ")]
        assert own == [f"{sender.user_id} ref-{n}" for n in range(sender.count)]
    # The log as a whole, joins of members included, has no hole.
    reader = await node.join("reader")
    head = (await reader.subscribe(1, since=history[0]["seq"] - 1))["head"]
    assert head == history[-1]["seq"]
    seqs = [message["seq"] for message in history]
    assert seqs == sorted(seqs)
    await _log_is_gapless(node, head)


async def _log_is_gapless(node: Process, head: int) -> None:
    # By pages of the replay bound: the last thousand events are enough to be sure of the end,
    # and the first thousand messages were sent in the first life.
    peer = await node.open(headers={"Authorization": f"Bearer {token('checker')}"})
    reply = await peer.subscribe(1, since=max(0, head - 900))
    assert reply.get("gap") is None
    await peer.until(where=lambda event: event.get("seq") == head)
    seqs = [event["seq"] for event in peer.events if "seq" in event and event["type"] != "ack"]
    assert seqs == list(range(max(0, head - 900) + 1, head + 1))


async def test_a_database_that_was_killed_while_it_was_made_is_made_again(
    start_process: Callable[..., Awaitable[Process]], tmp_path: Path
) -> None:
    first = Process(tmp_path / "data")
    starting = asyncio.create_task(first.start())
    async with asyncio.timeout(30):
        while not (tmp_path / "data" / "storm.db").exists() and not starting.done():
            await asyncio.sleep(0)
    await first.kill()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await first.leave()
    second = await start_process(data_dir=tmp_path / "data")
    peer = await second.join("alice", "/ws?channel_id=1")
    await peer.say(1, "it works")
