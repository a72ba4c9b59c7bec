"""The AsyncAPI 3 description of ``/ws``, built from the types themselves.

The document describes the gateway: what it receives are commands, what it sends are replies and
events. It is a plain dict; ``scripts/generate_docs.py`` writes it to ``docs/asyncapi.yaml``.
"""

import inspect
from typing import Any

import msgspec

from storm_gateway.errors import error_codes
from storm_gateway.protocol import commands, events
from storm_gateway.protocol.close_codes import CloseCode, may_reconnect
from storm_gateway.protocol.commands import COMMANDS
from storm_gateway.protocol.events import (
    CONNECTION_EVENTS,
    DURABLE_EVENTS,
    EPHEMERAL_EVENTS,
    EVENTS,
    REPLIES,
)

Json = dict[str, Any]

AT = "2026-01-31T12:00:00.000Z"
EDIT_AT = "2026-01-31T12:01:00.000Z"

EXAMPLES: tuple[msgspec.Struct, ...] = (
    commands.Message(channel_id=1, payload="Hello world", ref="c-1"),
    commands.Edit(channel_id=1, message_id=7, payload="Hello, world", ref="c-2"),
    commands.Delete(channel_id=1, message_id=7, ref="c-3"),
    commands.React(channel_id=1, message_id=7, emoji="👍", ref="c-4"),
    commands.Unreact(channel_id=1, message_id=7, emoji="👍", ref="c-5"),
    commands.Typing(channel_id=1),
    commands.Read(channel_id=1, seq=12, ref="c-6"),
    commands.Subscribe(channel_id=1, since=12, ref="c-7"),
    commands.Unsubscribe(channel_id=1, ref="c-8"),
    commands.Authenticate(token="<access token>", ref="c-9"),  # noqa: S106 a place holder
    commands.Ping(ref="c-10"),
    events.Ack(ref="c-1", channel_id=1, id=7, seq=12),
    events.Error(code="not_found", message="There is no such channel.", ref="c-7"),
    events.Subscribed(channel_id=1, head=2_012, ref="c-7", gap=events.Gap(from_=13, to=1_012)),
    events.Pong(ref="c-10"),
    events.Hello(
        connection_id="node-1-42",
        user_id="alice",
        node="node-1",
        keepalive=events.Keepalive(ping_seconds=30, dead_seconds=90, heartbeat_seconds=30),
        limits=events.Limits(
            payload_characters=4_000,
            frame_bytes=65_536,
            commands_per_second=20,
            commands_burst=60,
            channels=200,
            replay_events=1_000,
        ),
        token_expires_in=900,
    ),
    events.Heartbeat(heads={"1": 12}),
    events.TokenExpiring(expires_in=60),
    events.Reconnect(after_ms=12_500, reason="restart"),
    events.MessageEvent(
        channel_id=1, payload="Hello world", user_id="alice", id=7, seq=12, sent_at=AT
    ),
    events.MessageEdited(
        channel_id=1,
        seq=13,
        message_id=7,
        message_seq=12,
        user_id="alice",
        payload="Hello, world",
        sent_at=EDIT_AT,
    ),
    events.MessageDeleted(
        channel_id=1, seq=14, message_id=7, message_seq=12, user_id="alice", sent_at=EDIT_AT
    ),
    events.ReactionAdded(
        channel_id=1,
        seq=15,
        message_id=7,
        message_seq=12,
        user_id="bob",
        emoji="👍",
        sent_at=EDIT_AT,
    ),
    events.ReactionRemoved(
        channel_id=1,
        seq=16,
        message_id=7,
        message_seq=12,
        user_id="bob",
        emoji="👍",
        sent_at=EDIT_AT,
    ),
    events.MemberJoined(channel_id=1, seq=17, user_id="bob", role="member", sent_at=AT),
    events.MemberUpdated(
        channel_id=1, seq=18, user_id="bob", role="moderator", by="alice", sent_at=AT
    ),
    events.MemberLeft(
        channel_id=1, seq=19, user_id="bob", reason="removed", sent_at=AT, by="alice"
    ),
    events.ChannelUpdated(
        channel_id=1,
        seq=20,
        name="general",
        topic="What moves us",
        visibility="public",
        by="alice",
        sent_at=AT,
    ),
    events.ChannelDeleted(channel_id=1, seq=21, by="alice", sent_at=AT),
    events.ReadEvent(channel_id=1, user_id="bob", seq=12),
    events.TypingEvent(channel_id=1, user_id="bob", expires_in_ms=6_000),
    events.PresenceEvent(channel_id=1, online=2, users=["alice", "bob"]),
    events.StreamEvent(subject="storm.events", payload={"deploy": "done"}),
)
"""One of each, made with the types, so that an example that cannot be sent cannot be shown."""

ANSWERS: dict[type[msgspec.Struct], tuple[type[msgspec.Struct], ...]] = {
    commands.Subscribe: (events.Subscribed, events.Error),
    commands.Ping: (events.Pong, events.Error),
}
"""Which replies answer a command; the others are answered by ``ack`` when they carry a ``ref``."""


def tag_of(kind: type[msgspec.Struct]) -> str:
    """The ``type`` that the struct has on the wire."""
    return str(kind.__struct_config__.tag)


def asyncapi_document(version: str) -> Json:
    """The whole description as a dict; ``version`` is that of the gateway."""
    sent = REPLIES + EVENTS
    _, schemas = msgspec.json.schema_components(
        COMMANDS + sent, ref_template="#/components/schemas/{name}"
    )
    heard = {kind.__name__ for kind in COMMANDS}
    for name, schema in schemas.items():
        _tidy(schema, drop_null=name not in heard)
    examples = {type(example): msgspec.to_builtins(example) for example in EXAMPLES}
    messages = {
        kind.__name__: {
            "name": tag_of(kind),
            "title": kind.__name__,
            "summary": _prose(kind).partition("\n")[0],
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
            "examples": [{"payload": examples[kind]}],
            "x-kind": _kind(kind),
        }
        for kind in COMMANDS + sent
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "STORM gateway, WebSocket protocol",
            "version": version,
            "description": (
                "One JSON object in each text frame; its `type` names the command, reply or "
                "event. Subprotocol: `storm.v1`, when the client offers one. The words, limits "
                "and rules are in docs/api.md. Made from the Python types; do not edit."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "embedded": {
                "host": "127.0.0.1:8080",
                "protocol": "ws",
                "description": "What `make run` starts.",
                "security": [{"$ref": "#/components/securitySchemes/accessToken"}],
            }
        },
        "channels": {
            "socket": {
                "address": "/ws",
                "title": "The WebSocket",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET", "query": _QUERY, "bindingVersion": "0.1.0"}},
            }
        },
        "operations": {
            **{f"receive{kind.__name__}": _receive(kind) for kind in COMMANDS},
            **{
                f"send{kind.__name__}": {
                    "action": "send",
                    "channel": {"$ref": "#/channels/socket"},
                    "summary": messages[kind.__name__]["summary"],
                    "messages": [_on_socket(kind)],
                }
                for kind in EVENTS
            },
        },
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {
                "accessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": (
                        "Or the cookie `access_token`, or `?token=` with a token or a ticket."
                    ),
                }
            },
        },
        "x-close-codes": [
            {"code": code.value, "name": code.name.lower(), "reconnect": may_reconnect(code)}
            for code in CloseCode
        ],
        "x-error-codes": [
            {"code": code, "status": status} for code, status in error_codes().items()
        ],
    }


_QUERY: Json = {
    "type": "object",
    "properties": {
        "channel_id": {
            "type": "integer",
            "minimum": 1,
            "description": "Join this public channel and subscribe to it at once.",
        },
        "subject": {
            "type": "string",
            "pattern": "^[A-Za-z0-9._-]+$",
            "description": "Listen to this event stream.",
        },
        "token": {"type": "string", "description": "An access token or a ticket."},
    },
}


def _receive(kind: type[msgspec.Struct]) -> Json:
    """The operation of one command, with the replies that answer it."""
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/socket"},
        "summary": _prose(kind).partition("\n")[0],
        "messages": [_on_socket(kind)],
        "reply": {
            "channel": {"$ref": "#/channels/socket"},
            "messages": [
                _on_socket(answer) for answer in ANSWERS.get(kind, (events.Ack, events.Error))
            ],
        },
    }


def _on_socket(kind: type[msgspec.Struct]) -> Json:
    return {"$ref": f"#/channels/socket/messages/{kind.__name__}"}


def _kind(kind: type[msgspec.Struct]) -> str:
    for name, kinds in (
        ("command", COMMANDS),
        ("reply", REPLIES),
        ("connection event", CONNECTION_EVENTS),
        ("durable event", DURABLE_EVENTS),
        ("ephemeral event", EPHEMERAL_EVENTS),
    ):
        if kind in kinds:
            return name
    raise AssertionError(kind)


def _prose(kind: type[Any]) -> str:
    return inspect.getdoc(kind).replace("``", "`") if kind.__doc__ else ""  # type: ignore[union-attr]


def _tidy(schema: Json, *, drop_null: bool) -> None:
    """Docstrings become Markdown. What the server sends never holds null: it leaves fields out."""
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"]).replace("``", "`")
    for name, field in schema.get("properties", {}).items():
        kinds = field.get("anyOf", [])
        if drop_null and {"type": "null"} in kinds and len(kinds) == 2:
            schema["properties"][name] = next(kind for kind in kinds if kind != {"type": "null"})
