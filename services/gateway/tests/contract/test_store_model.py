"""Any history of commands leaves the log, the messages and the counts that a simple model has."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_harness import GENERAL, Harness, allow, start
from store_postgres import Databases

from storm_gateway.errors import NotFoundError

USERS = ("ann", "ben", "cat")
user_ids = st.sampled_from(USERS)
refs = st.none() | st.sampled_from(["r1", "r2", "r3"])
targets = st.integers(1, 6)
commands = st.one_of(
    st.tuples(st.just("append"), user_ids, st.text("ab👍 ", min_size=1), refs),
    st.tuples(st.just("edit"), user_ids, targets, st.text("xy", min_size=1)),
    st.tuples(st.just("delete"), user_ids, targets),
    st.tuples(st.just("react"), user_ids, targets, st.sampled_from("+-"), st.booleans()),
    st.tuples(st.just("join"), user_ids),
    st.tuples(st.just("leave"), user_ids),
    st.tuples(st.just("read"), user_ids, st.integers(0, 30)),
)


@dataclass
class Model:
    """One channel, as simply as it can be said."""

    kinds: list[str] = field(default_factory=list)
    messages: list[dict] = field(default_factory=list)
    refs: dict[tuple[str, str], int] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)

    def log(self, kind: str) -> int:
        self.kinds.append(kind)
        return len(self.kinds)

    def message(self, id_: int) -> dict:
        if id_ > len(self.messages) or self.messages[id_ - 1]["deleted"]:
            raise NotFoundError("none")
        return self.messages[id_ - 1]

    def append(self, user_id: str, payload: str, ref: str | None) -> int:
        if ref is not None and (user_id, ref) in self.refs:
            return self.refs[user_id, ref]
        seq = self.log("message")
        self.messages.append(
            {"seq": seq, "by": user_id, "payload": payload, "deleted": 0, "reactions": []}
        )
        if ref is not None:
            self.refs[user_id, ref] = seq
        return seq

    def edit(self, user_id: str, id_: int, payload: str) -> int:
        self.message(id_)["payload"] = payload
        return self.log("message.edited")

    def delete(self, user_id: str, id_: int) -> int:
        if id_ <= len(self.messages) and self.messages[id_ - 1]["deleted"]:
            return self.messages[id_ - 1]["deleted"]
        message = self.message(id_)
        message.update(payload="", reactions=[], deleted=self.log("message.deleted"))
        return message["deleted"]

    def react(self, user_id: str, id_: int, emoji: str, add: bool) -> int:
        message = self.message(id_)
        this = (emoji, user_id)
        if (this in message["reactions"]) == add:
            return message["seq"]
        if add:
            message["reactions"].append(this)
            return self.log("reaction.added")
        message["reactions"].remove(this)
        return self.log("reaction.removed")

    def join(self, user_id: str) -> int:
        if user_id not in self.cursors:
            self.cursors[user_id] = self.log("member.joined")
        return len(self.kinds)

    def leave(self, user_id: str) -> None:
        if user_id not in self.cursors:
            raise NotFoundError("none")
        del self.cursors[user_id]
        self.log("member.left")

    def read(self, user_id: str, seq: int) -> int:
        self.cursors[user_id] = max(self.cursors[user_id], min(seq, len(self.kinds)))
        return self.cursors[user_id]

    def unread(self, user_id: str) -> int:
        return sum(
            message["seq"] > self.cursors[user_id]
            and message["by"] != user_id
            and not message["deleted"]
            for message in self.messages
        )


async def _do(harness: Harness, kind: str, *args) -> int | None:
    messages, channels = harness.store.messages, harness.store.channels
    match kind, args:
        case "append", (user_id, payload, ref):
            return (await harness.append(GENERAL, user_id, payload, ref)).event.seq
        case "edit", (user_id, id_, payload):
            return (await messages.edit(GENERAL, id_, user_id, payload, None, allow))[1]
        case "delete", (user_id, id_):
            return (await messages.delete(GENERAL, id_, user_id, None, allow))[1]
        case "react", (user_id, id_, emoji, add):
            return (
                await messages.react(GENERAL, id_, user_id, emoji, add=add, ref=None, rule=allow)
            )[1]
        case "join", (user_id,):
            return (await harness.join(GENERAL, user_id)).head
        case "leave", (user_id,):
            await channels.leave(GENERAL, user_id)
        case "read", (user_id, seq):
            return await messages.set_read(GENERAL, user_id, seq)
    return None


async def _compare(history: list[tuple], **settings: Any) -> None:
    harness = await start(**settings)
    model = Model()
    for kind, *args in history:
        if kind == "read" and args[0] not in model.cursors:
            continue
        try:
            expected = getattr(model, kind)(*args)
        except NotFoundError as error:
            expected = type(error)
        try:
            found = await _do(harness, kind, *args)
        except NotFoundError as error:
            found = type(error)
        assert found == expected, (kind, args)
    log = await harness.log(GENERAL)
    assert [event.__struct_config__.tag for event in log] == model.kinds
    assert [event.seq for event in harness.events] == list(range(1, len(log) + 1))
    page = await harness.store.messages.page(GENERAL, limit=100)
    assert [
        (message.seq, message.user_id, message.payload, message.deleted)
        for message in reversed(page)
    ] == [(m["seq"], m["by"], m["payload"], bool(m["deleted"])) for m in model.messages]
    for message, expected in zip(reversed(page), model.messages, strict=True):
        shown = {(r.emoji, user_id) for r in message.reactions for user_id in r.user_ids}
        assert shown == set(expected["reactions"])
    for view_of in model.cursors:
        view = await harness.store.channels.view(GENERAL, view_of)
        assert (view.unread, view.read_seq) == (
            model.unread(view_of),
            model.cursors[view_of],
        )
    assert (await harness.store.channels.get(GENERAL)).member_count == len(model.cursors)
    await harness.store.stop()


@settings(max_examples=25, deadline=None)
@given(st.lists(commands, max_size=40))
def test_any_history_leaves_what_the_model_says(history: list[tuple]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_compare(history, data_dir=Path(folder) / "data"))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(commands, max_size=40))
def test_any_history_leaves_what_the_model_says_on_postgresql(
    databases: Databases, history: list[tuple]
) -> None:
    url = databases.make()
    asyncio.run(_compare(history, database_url=url))
    databases.drop(url)
