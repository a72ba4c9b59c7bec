"""The course of the test: import, listen, say again, check."""

import argparse
import asyncio
import time
from collections.abc import Sequence

from common.node import Node
from common.rest import Rest

from replaying.authors import Authors
from replaying.checks import check_history, check_listeners, check_unread
from replaying.importing import import_twice
from replaying.lines import Line, choose, sayings
from replaying.listeners import Listener
from replaying.report import count_deliveries
from replaying.scene import Outcome, Scene
from replaying.tail import HISTORY, Tail


async def replay(node: Node, options: argparse.Namespace, lines: Sequence[Line]) -> Outcome:
    """The whole test."""
    outcome = Outcome()
    name = lines[0].channel if options.url is None else f"replay-{time.time_ns()}"
    chosen = choose(lines, options.messages, options.part)
    import_twice(node, options.file, name, len(lines), outcome)
    with Rest(node.url, node.token("checker")) as rest:
        scene = Scene(node, int(rest.channel(name)["id"]), outcome)
        listeners = [Listener(scene, f"listener-{n}") for n in range(options.listeners)]
        authors = Authors(scene, options.clients)
        head = await _gather(rest, scene, listeners)
        tail = await Tail.start(scene, name)
        try:
            await outcome.wait_until("storm tail shows history", lambda: len(tail.shown) >= HISTORY)
            audience = f"{len(listeners)} listeners and storm tail"
            await authors.speak(chosen, options.rate, audience)
            await outcome.wait_until(
                "every listener has everything",
                lambda: all(len(li.got) >= len(chosen) for li in listeners),
            )
            await asyncio.sleep(0.5)  # whatever comes twice gets the time to do so
            live = check_history(rest, scene, head, lines, chosen)
            check_listeners(listeners, live, outcome)
            await check_unread(listeners, live, scene)
            await tail.check(sayings(lines), live)
        finally:
            await tail.stop()
    count_deliveries(outcome, listeners, len(live))
    for socket in [*(li.socket for li in listeners), *(a.socket for a in authors.pool.values())]:
        if socket is not None:
            socket.close()
    return outcome


async def _gather(rest: Rest, scene: Scene, listeners: Sequence[Listener]) -> int:
    """All listeners come in and read the past; returns the head of it."""
    await asyncio.gather(*(listener.open() for listener in listeners))
    await scene.outcome.wait_until(
        "the listeners are in", lambda: all(li.last > 0 for li in listeners)
    )
    head = await _settled_head(rest, scene, listeners)
    await asyncio.gather(*(listener.read(head) for listener in listeners))
    return head


async def _settled_head(rest: Rest, scene: Scene, listeners: Sequence[Listener]) -> int:
    """The head once all joins are told."""
    head = 0
    for _ in range(100):
        head = int(rest.get(f"/channels/{scene.channel}")["head"])
        if all(listener.last == head for listener in listeners):
            break
        await asyncio.sleep(0.1)
    return head
