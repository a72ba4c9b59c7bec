"""The TypeScript types of the protocol, from the documents that are built from the Python types.

The web client imports them, so that a field that is renamed here no longer compiles there. Pure
text: ``scripts/generate_docs.py`` writes the files, and ``make check`` compares them.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

Json = Mapping[str, Any]

HEADER = "// Made by `make docs` from the gateway's types. Do not edit.\n"

_SCALARS = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")


def frames(asyncapi: Json) -> str:
    """frames.ts: commands, replies and events by name, and their unions."""
    components = asyncapi["components"]
    kinds: dict[str, str] = {
        name: message["x-kind"] for name, message in components["messages"].items()
    }
    names = {name: _frame_name(name, kinds.get(name, "")) for name in components["schemas"]}
    parts = [
        _interface(names[name], schema, names) for name, schema in components["schemas"].items()
    ]
    groups: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        groups.setdefault(kind, []).append(names[name])
    durable, ephemeral = groups["durable event"], groups["ephemeral event"]
    connection, replies = groups["connection event"], groups["reply"]
    parts += [
        _union("Command", groups["command"], "What a client may say."),
        _union("Reply", replies, "What answers a command."),
        _union("DurableEvent", durable, "Has a `seq`; is replayed."),
        _union("EphemeralEvent", ephemeral, "Is not replayed."),
        _union("ConnectionEvent", connection, "About the connection itself."),
        _union(
            "ServerEvent",
            ["DurableEvent", "EphemeralEvent", "ConnectionEvent"],
            "Everything that the gateway tells unasked.",
        ),
        _union("ServerFrame", ["Reply", "ServerEvent"], "Everything that the gateway sends."),
    ]
    return HEADER + "\n" + "\n".join(parts)


def rest(openapi: Json) -> str:
    """rest.ts: the bodies of HTTP requests (``…In``) and answers."""
    schemas: Json = openapi["components"]["schemas"]
    names = {name: _rest_name(name) for name in schemas}
    parts = [
        _interface(names[name], schema, names, whole=name.endswith("Out"))
        for name, schema in schemas.items()
        if name.endswith(("In", "Out"))
    ]
    return HEADER + "\n" + "\n".join(parts)


def close_codes(asyncapi: Json) -> str:
    """closeCodes.ts: the table, by number."""
    rows = "".join(
        f"  {row['code']}: {{ name: '{row['name']}', reconnect: {_literal(row['reconnect'])} }},\n"
        for row in asyncapi["x-close-codes"]
    )
    return (
        f"{HEADER}\n/** What the number of a close frame says to the client. */\n"
        f"export const CLOSE_CODES = {{\n{rows}}} as const\n\n"
        "export type CloseCode = keyof typeof CLOSE_CODES\n"
        "export type CloseName = (typeof CLOSE_CODES)[CloseCode]['name']\n"
    )


def error_codes(asyncapi: Json) -> str:
    """errorCodes.ts: each code with its HTTP status."""
    rows = "".join(f"  {row['code']}: {row['status']},\n" for row in asyncapi["x-error-codes"])
    return (
        f"{HEADER}\n/** Why a command or a request failed, with the HTTP status. */\n"
        f"export const ERROR_CODES = {{\n{rows}}} as const\n\n"
        "export type ErrorCode = keyof typeof ERROR_CODES\n"
    )


def index() -> str:
    """index.ts: everything from one place."""
    files = ("closeCodes", "errorCodes", "frames", "rest")
    return HEADER + "\n" + "".join(f"export * from './{name}'\n" for name in files)


def files(asyncapi: Json, openapi: Json) -> dict[str, str]:
    """Every file of the folder by its name."""
    return {
        "frames.ts": frames(asyncapi),
        "rest.ts": rest(openapi),
        "closeCodes.ts": close_codes(asyncapi),
        "errorCodes.ts": error_codes(asyncapi),
        "index.ts": index(),
    }


def _frame_name(name: str, kind: str) -> str:
    # A message is what REST answers; the frames beside it say what they are.
    if kind == "command":
        return f"{name}Command"
    return "ErrorReply" if name == "Error" else name


def _rest_name(name: str) -> str:
    return "Refusal" if name == "ErrorOut" else name.removesuffix("Out")


def _union(name: str, members: Iterable[str], comment: str) -> str:
    return f"/** {comment} */\nexport type {name} =\n  | " + "\n  | ".join(members) + "\n"


def _interface(name: str, schema: Json, names: Mapping[str, str], *, whole: bool = False) -> str:
    """``whole``: an answer has all its fields, also those that have a default."""
    required = schema.get("required", ())
    lines = []
    for field, inner in schema.get("properties", {}).items():
        if text := inner.get("description"):
            lines.append(f"  /** {_prose(text)} */")
        optional = "" if whole or field in required else "?"
        key = field if _NAME.match(field) else f"'{field}'"
        lines.append(f"  {key}{optional}: {_type(inner, names)}")
    comment = f"/** {_prose(schema['description'])} */\n" if schema.get("description") else ""
    return f"{comment}export interface {name} {{\n" + "".join(f"{x}\n" for x in lines) + "}\n"


def _type(schema: Json, names: Mapping[str, str]) -> str:
    if "$ref" in schema:
        return names[schema["$ref"].rpartition("/")[2]]
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return " | ".join(_literal(value) for value in schema["enum"])
    for either in ("anyOf", "oneOf"):
        if either in schema:
            return " | ".join(dict.fromkeys(_type(inner, names) for inner in schema[either]))
    kind = schema.get("type")
    if kind == "array":
        inner = _type(schema.get("items", {}), names)
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"Record<string, {_type(values, names) if values else 'unknown'}>"
    return _SCALARS.get(str(kind), "unknown")


def _literal(value: object) -> str:
    if isinstance(value, str):
        return "'" + json.dumps(value, ensure_ascii=False)[1:-1].replace("'", "\\'") + "'"
    return json.dumps(value)


def _prose(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("*/", "* /").split())
