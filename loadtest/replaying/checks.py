"""History by REST, listeners and unread counts against what was said."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from common.rest import Rest

from replaying.lines import Line
from replaying.listeners import Listener
from replaying.scene import Outcome, Scene
from storm_gateway.cli.imports.records import user_id_of

Message = tuple[int, str, str]
"""Seq, user id, text."""


def check_history(
    rest: Rest, scene: Scene, head: int, lines: Sequence[Line], chosen: Sequence[tuple[str, str]]
) -> list[Message]:
    """All history against the file, ``head`` being the last of the past; returns what was said
    live.
    """
    outcome = scene.outcome
    history = rest.history(scene.channel)
    past = [message for message in history if message["seq"] <= head]
    found = [(m["user_id"], m["payload"], _moment(m["created_at"])) for m in past]
    wanted = [(user_id_of(line.user), line.text, _moment(line.time)) for line in lines]
    if found != wanted:
        differing = sum(a != b for a, b in zip(found, wanted, strict=False))
        outcome.fault(f"imported history: {len(found):,} of {len(wanted):,}, {differing:,} differ")
    live = [(m["seq"], m["user_id"], m["payload"]) for m in history if m["seq"] > head]
    check_live(live, chosen, outcome)
    outcome.figure("history by REST, imported and live", f"{len(past):,} + {len(live):,}")
    return live


def check_live(
    live: Sequence[Message], chosen: Sequence[tuple[str, str]], outcome: Outcome
) -> None:
    """What was said, without a hole, each author's messages in the order of saying."""
    if Counter(m[1:] for m in live) != Counter(chosen):
        outcome.fault(f"live history: {len(live):,} messages, not those that were said")
    if any(b[0] != a[0] + 1 for a, b in pairwise(live)):
        outcome.fault("live history has holes in its seqs")
    if _by_author(live) != _by_author([(0, *said) for said in chosen]):
        outcome.fault("live history: an author's messages are not in the order of saying")


def check_listeners(
    listeners: Sequence[Listener], live: Sequence[Message], outcome: Outcome
) -> None:
    """Every listener got exactly what was said live."""
    wrong = [listener.name for listener in listeners if listener.got != live]
    for name in wrong[:5]:
        outcome.fault(f"{name} did not get exactly the live history")
    right = len(listeners) - len(wrong)
    outcome.figure("listeners with every message once, in order", f"{right}")


async def check_unread(
    listeners: Sequence[Listener], live: Sequence[Message], scene: Scene
) -> None:
    """All is unread; after reading a part, the rest is."""
    right = 0
    for number, listener in enumerate(listeners):
        part = len(live) * number // len(listeners)
        with Rest(scene.node.url, scene.node.token(listener.name)) as own:
            path = f"/channels/{scene.channel}"
            before = own.get(path)["unread"]
            if part:
                await listener.read(live[part - 1][0])
            after = own.get(path)["unread"]
        if (before, after) == (len(live), len(live) - part):
            right += 1
        else:
            scene.outcome.fault(f"{listener.name}: unread {before}, after reading {part}: {after}")
    scene.outcome.figure("listeners with the right unread count, twice", f"{right}")


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _by_author(messages: Sequence[Message]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for _, author, text in messages:
        found[author].append(text)
    return found
