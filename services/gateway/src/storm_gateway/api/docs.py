"""``/docs``: the OpenAPI document as one readable page, without scripts or other hosts."""

import base64
import hashlib
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

router = APIRouter()

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #2563eb; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 6rem; line-height: 1.5;
  font-family: system-ui, sans-serif; }
h1 { margin: 0; } h2 { margin: 3rem 0 .5rem; text-transform: capitalize; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { background: var(--soft); border-radius: .5rem; overflow-x: auto; padding: .75rem 1rem; }
a { color: var(--accent); }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; }
summary { cursor: pointer; padding: .6rem .9rem; }
summary b { display: inline-block; min-width: 4.5rem; color: var(--accent); }
summary span { opacity: .75; margin-left: .75rem; }
details > div { padding: 0 1rem 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-top: 1px solid var(--line); padding: .35rem .6rem .35rem 0; text-align: left;
  vertical-align: top; }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@router.get("/docs", include_in_schema=False)
async def show(request: Request) -> HTMLResponse:
    """The page; made anew each time, because nobody reads it a thousand times a second."""
    page = render(request.app.openapi())
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


def render(document: dict[str, Any]) -> str:
    """HTML of an OpenAPI document; every text is escaped."""
    schemas = document["components"]["schemas"]
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(document['info']['title'])} API</title><style>{STYLE}</style>",
        f"<h1>{escape(document['info']['title'])} API</h1>",
        f"<p>Version {escape(document['info']['version'])} · ",
        '<a href="/openapi.json">openapi.json</a></p>',
        f"<p>{_text(document['info']['description'])}</p>",
    ]
    for tag in document["tags"]:
        name = tag["name"]
        parts.append(f"<h2>{escape(name)}</h2><p>{_text(tag['description'])}</p>")
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if name in operation.get("tags", ()):
                    parts.append(_operation(method, path, operation))
    parts.append("<h2>Types</h2>")
    parts.extend(_schema(name, schema) for name, schema in sorted(schemas.items()))
    return "".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    said = operation.get("description", "").strip()
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each['in'])}</td>"
        f"<td>{_type(each['schema'])}</td><td>{_text(each.get('description', ''))}</td></tr>"
        for each in operation.get("parameters", ())
    )
    parameters = f"<table>{rows}</table>" if rows else ""
    body = ""
    if "requestBody" in operation:
        body = f"<h4>Body</h4>{_content(operation['requestBody']['content'])}"
    answers = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{_text(answer['description'])}</td>"
        f"<td>{_content(answer.get('content', {}))}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    locked = "a token" if operation.get("security") else "nothing"
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><b>{method.upper()}</b>'
        f"<code>{escape(path)}</code><span>{escape(operation['summary'])}</span></summary><div>"
        f"<p>{_text(said)}</p><p>Needs {locked}.</p>{parameters}{body}"
        f"<h4>Answers</h4><table>{answers}</table></div></details>"
    )


def _content(content: dict[str, Any]) -> str:
    return "<br>".join(
        f"{escape(kind)}: {_type(entry.get('schema', {}))}" for kind, entry in content.items()
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{_type(kind)}</td>"
        f"<td>{'' if field in needed else 'optional'}</td>"
        f"<td>{_text(kind.get('description', ''))}</td></tr>"
        for field, kind in schema.get("properties", {}).items()
    )
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"<div><p>{_text(schema.get('description', ''))}</p><table>{rows}</table></div></details>"
    )


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "properties" in schema:
        return escape(str(schema.get("title", "object")))
    return escape(str(schema.get("type", "any")))


def _text(text: str) -> str:
    """Plain text with `code` marked."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)
    )
