"""What the README and the reference show is what happens: their commands run, against a real node.

In ``docs/api.md``, the exchange marked ``ws`` holds what one client sends and hears; numbers that
differ from run to run are left out of the comparison.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets.asyncio.client
import websockets.exceptions

from shown import README, ROOT, WAIT_SECONDS, Node, Stack, conversation, converse, fits, is_told

API = ROOT / "docs/api.md"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    started = Stack(tmp_path)
    try:
        started.wait()
        yield started
    finally:
        status = started.stop()
    assert status == 0, (tmp_path / "log").read_text()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node(tmp_path)
    try:
        started.wait()
        yield started
    finally:
        started.stop()


# --- conversations in a shell ---


@pytest.mark.parametrize(
    ("path", "heading"),
    [(README, "## A first conversation"), (API, "### Examples")],
    ids=["readme", "reference"],
)
def test_conversation_goes_as_printed(node: Node, path: Path, heading: str) -> None:
    converse(node, conversation(path, heading))


def test_conversations_go_as_printed_on_two_nodes(stack: Stack) -> None:
    first = conversation(README, "## A first conversation")
    several = conversation(README, "## Several nodes")
    # As the README says: the settings of the stack, then the same as with one node.
    (settings,) = [step for step in several if step.command.startswith(". ")]
    converse(stack, [settings, *first])
    converse(stack, several)


def test_lines_of_another_form_do_not_fit() -> None:
    assert fits(
        '{"id":7,"at":"2026-01-31T12:00:00.000Z"}', '{"id":7,"at":"2027-02-01T01:02:03.4Z"}'
    )
    assert fits('{"token":"…"}', '{"token":"abc"}')
    assert not fits('{"id":7}', '{"id":8}')
    assert not fits('{"id":7}', '{"id":7,"more":1}')


def test_remarks_may_name_others_too() -> None:
    assert is_told("— carol came online", "— bob, carol came online")
    assert is_told("— carol came online", "— carol came online")
    assert not is_told("— carol came online", "— bob came online")
    assert not is_told("— carol came online", "— carol went offline")
    assert is_told("— online: …", "— online: bob")


# --- the exchange of the reference ---


def exchange() -> list[tuple[str, dict[str, Any]]]:
    """The lines of the first block marked ``ws``."""
    (block, *_) = re.findall(r"^```ws\n(.*?)^```", API.read_text("utf-8"), re.M | re.S)
    return [(line[0], json.loads(line[2:])) for line in block.splitlines()]


DIFFERS = ("connection_id", "epoch", "node", "sent_at", "edited_at", "token_expires_in")


def likeness(said: dict[str, Any]) -> str:
    """What has to be equal between what is shown and what is said."""
    return json.dumps(
        {key: "<differs>" if key in DIFFERS else value for key, value in said.items()},
        sort_keys=True,
    )


async def test_exchange_of_the_reference_goes_as_printed(node: Node) -> None:
    async with httpx2.AsyncClient(base_url=f"http://{node.address}") as http:
        person = {"user_id": "alice", "password": "correct horse"}
        await http.post("/auth/register", json=person)
        token = (await http.post("/auth/login", json=person)).json()["access_token"]
        url = f"ws://{node.address}/ws?channel_id=1"
        headers = {"Authorization": f"Bearer {token}"}
        async with websockets.asyncio.client.connect(url, additional_headers=headers) as client:
            expected: Counter[str] = Counter()
            heard: Counter[str] = Counter()

            async def hear_what_is_shown() -> None:
                async with asyncio.timeout(WAIT_SECONDS):
                    while heard != expected:
                        event = json.loads(await client.recv())
                        # These come by the clock: before or after what is shown.
                        if "joined" in event or event["type"] == "heartbeat":
                            continue
                        said = likeness(event)
                        assert said in expected, (said, expected - heard)
                        heard[said] += 1

            for arrow, said in exchange():
                if arrow == "←":
                    expected[likeness(said)] += 1
                    continue
                await hear_what_is_shown()
                if said["type"] == "authenticate":
                    said["token"] = token
                await client.send(json.dumps(said, ensure_ascii=False))
            await hear_what_is_shown()
            # Nothing more comes: a ping is answered by its pong and by nothing before it.
            await client.send('{"type":"ping","ref":"last"}')
            expected['{"ref": "last", "type": "pong"}'] += 1
            await hear_what_is_shown()
