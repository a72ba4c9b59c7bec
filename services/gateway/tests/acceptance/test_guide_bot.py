"""The bot of the guide keeps its promise: each question is answered once, however it is killed."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from harness import Node, token

GUIDE = Path(__file__).resolve().parents[4] / "docs/guides/bot.md"
GENERAL = 1


def program() -> str:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


class Bot:
    """The program of the guide as a process that can be killed."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.state = folder / "todo-bot.json"
        self._program = folder / "todo_bot.py"
        self._program.write_text(program(), encoding="utf-8")
        self._environment = {
            **os.environ,
            "STORM_URL": node.url,
            "STORM_TOKEN": token("todo-bot"),
            "STATE": str(self.state),
        }

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(self._program), env=self._environment
        )

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    def seq(self) -> int:
        found: int = json.loads(self.state.read_text())["seq"] if self.state.exists() else 0
        return found

    async def remembers(self, seq: int) -> None:
        async with asyncio.timeout(60):
            while self.seq() < seq:  # noqa: ASYNC110 a file tells nobody that it changes
                await asyncio.sleep(0.02)


async def test_the_bot_of_the_guide_answers_each_question_once(
    start_node: Callable[..., Awaitable[Node]], tmp_path: Path
) -> None:
    node = await start_node()
    alice = await node.join("alice", "/ws?channel_id=1")
    await alice.say(GENERAL, "!todo what was said before the bot came")
    bot = Bot(node, tmp_path)
    await bot.start()
    try:
        await bot.remembers(1)
        await alice.say(GENERAL, "!todo water the plants")
        first = await alice.until("message", user_id="todo-bot", timeout=60)
        assert first["payload"] == "noted: water the plants"
        await bot.remembers(first["seq"])
        remembered = bot.state.read_text()
        await bot.kill()
        asked = [await alice.say(GENERAL, f"!todo while it was away {n}") for n in range(3)]
        await bot.start()
        await bot.remembers(asked[-1]["seq"] + 3)
        await bot.kill()
        # Killed after its answers and before it remembered them: it hears all of it again.
        bot.state.write_text(remembered)
        await bot.start()
        last = await alice.say(GENERAL, "!todo the last one")
        await bot.remembers(last["seq"] + 1)
    finally:
        await bot.kill()
    answers = [m["payload"] for m in await node.history("alice", 1) if m["user_id"] == "todo-bot"]
    assert answers == [
        "noted: water the plants",
        *(f"noted: while it was away {n}" for n in range(3)),
        "noted: the last one",
    ]
