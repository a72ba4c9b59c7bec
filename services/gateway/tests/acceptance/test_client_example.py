"""The bot of the documents runs as it stands there."""

import asyncio
import os
import re
import sys
from pathlib import Path

from harness import Node, token

DOCUMENT = Path(__file__).resolve().parents[4] / "docs/client.md"


async def test_the_echo_bot_of_the_documents_answers(node: Node, tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    program = tmp_path / "echo_bot.py"
    program.write_text(found[1], encoding="utf-8")
    assert len([line for line in found[1].splitlines() if line.strip()]) <= 20
    bot = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        env={**os.environ, "STORM_URL": node.url, "STORM_TOKEN": token("echo-bot")},
    )
    try:
        alice = await node.join("alice", "/ws?channel_id=1")
        await alice.until("presence", where=lambda e: "echo-bot" in str(e), timeout=60)
        await alice.say(1, "Is anybody there?")
        answer = await alice.until("message", user_id="echo-bot")
        assert answer["payload"] == "alice said: Is anybody there?"
    finally:
        bot.terminate()
        await bot.wait()
