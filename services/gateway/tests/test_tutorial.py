"""The tutorial goes as it stands there, from two people to a bot and a second client."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shown import ROOT, Node, conversation, converse

TUTORIAL = ROOT / "docs/tutorial.md"
PARTS = ("## 2. Two people talk", "## 3. A bot that answers", "## 4. A client of your own")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node(tmp_path)
    try:
        started.wait()
        yield started
    finally:
        started.stop()


def programs(document: str) -> dict[str, str]:
    """The programs that a reader is asked to save: name → text."""
    return dict(re.findall(r"as\s+`([\w-]+\.\w+)`:\n\n```\w+\n(.*?)^```", document, re.M | re.S))


def test_the_tutorial_goes_as_printed(node: Node) -> None:
    saved = programs(TUTORIAL.read_text("utf-8"))
    assert set(saved) == {"hello_bot.py", "listen.mjs"}
    for name, text in saved.items():
        (node.folder / name).write_text(text, "utf-8")
    if shutil.which("node") is None:
        pytest.skip("the last step of the tutorial needs Node")
    # Node 20 has a WebSocket behind a flag, which later versions still know.
    node.environment["NODE_OPTIONS"] = "--experimental-websocket"
    converse(node, [step for part in PARTS for step in conversation(TUTORIAL, part)])
    said = (node.folder / "tail-0").read_text()
    told = re.search(r"```text\n(.*?)```", TUTORIAL.read_text("utf-8"), re.S)
    assert told is not None
    for line in told[1].splitlines():
        assert line[8:] in said
