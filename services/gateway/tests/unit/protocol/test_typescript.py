"""The TypeScript types say what the schemas say."""

import re
from pathlib import Path

from storm_gateway.errors import error_codes
from storm_gateway.protocol import typescript
from storm_gateway.protocol.asyncapi import asyncapi_document, tag_of
from storm_gateway.protocol.close_codes import CloseCode, may_reconnect
from storm_gateway.protocol.commands import COMMANDS
from storm_gateway.protocol.events import DURABLE_EVENTS, EVENTS, REPLIES

CLIENT = Path(__file__).parents[5] / "frontend/src/protocol"
DOCUMENT = asyncapi_document("0")
FRAMES = typescript.frames(DOCUMENT)


def union(name: str) -> set[str]:
    found = re.search(rf"export type {name} =\n((?:  \| \w+\n)+)", FRAMES)
    assert found is not None
    return set(re.findall(r"\w+", found[1]))


def test_every_command_reply_and_event_has_an_interface_with_its_tag() -> None:
    tags = re.findall(r"export interface \w+ \{\n  type: '([^']+)'", FRAMES)
    assert sorted(tags) == sorted(tag_of(kind) for kind in COMMANDS + REPLIES + EVENTS)


def test_the_unions_hold_every_command_and_every_durable_event() -> None:
    assert union("Command") == {f"{kind.__name__}Command" for kind in COMMANDS}
    assert union("DurableEvent") == {kind.__name__ for kind in DURABLE_EVENTS}


def test_a_field_that_may_be_left_out_is_optional_and_others_are_not() -> None:
    [subscribed] = re.findall(r"export interface Subscribed \{\n(.*?)\}", FRAMES, re.DOTALL)
    assert "  head: number\n" in subscribed
    assert re.search(r"^  gap\?: Gap$", subscribed, re.MULTILINE)
    assert re.search(r"^  reset\?: boolean$", subscribed, re.MULTILINE)


def test_answers_have_all_their_fields_and_requests_only_what_they_need() -> None:
    schemas = {
        "ThingOut": {
            "properties": {
                "name": {"type": "string", "default": "x"},
                "kinds": {"type": "array", "items": {"enum": ["a", "it's"]}},
                "other": {"anyOf": [{"$ref": "#/components/schemas/ThingIn"}, {"type": "null"}]},
            },
        },
        "ThingIn": {
            "description": "Ends */ no comment",
            "properties": {"name": {"type": "string"}, "odd-name": {}},
            "required": ["name"],
        },
        "Unrelated": {"properties": {}},
    }
    assert typescript.rest({"components": {"schemas": schemas}}) == (
        f"{typescript.HEADER}\n"
        "export interface Thing {\n"
        "  name: string\n"
        "  kinds: ('a' | 'it\\'s')[]\n"
        "  other: ThingIn | null\n"
        "}\n\n"
        "/** Ends * / no comment */\n"
        "export interface ThingIn {\n"
        "  name: string\n"
        "  'odd-name'?: unknown\n"
        "}\n"
    )


def test_close_and_error_codes_are_those_of_the_gateway() -> None:
    codes = typescript.close_codes(DOCUMENT)
    for code in CloseCode:
        reconnect = str(may_reconnect(code)).lower()
        assert (
            f"  {code.value}: {{ name: '{code.name.lower()}', reconnect: {reconnect} }}," in codes
        )
    errors = typescript.error_codes(DOCUMENT)
    for name, status in error_codes().items():
        assert f"  {name}: {status}," in errors


def test_the_files_of_the_web_client_are_current() -> None:
    for name, text in typescript.files(DOCUMENT, {"components": {"schemas": {}}}).items():
        if name != "rest.ts":  # needs the API: `make check` compares it
            assert (CLIENT / name).read_text(encoding="utf-8") == text, name
