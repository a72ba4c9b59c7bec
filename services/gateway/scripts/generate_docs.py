"""Write the documents that come from the code, or check that they are current.

    python services/gateway/scripts/generate_docs.py           writes what changed
    python services/gateway/scripts/generate_docs.py --check   says what is stale, ends with 1

Whole files: docs/asyncapi.yaml, docs/openapi.json, and the types of the web client in
frontend/src/protocol. Tables between two markers in documents that
people write: the settings in docs/configuration.md, the metrics in docs/metrics.md.
"""

import inspect
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import SecretStr

from storm_gateway.app import Gateway
from storm_gateway.config import Config
from storm_gateway.observability.metrics import metric_families, shown_name
from storm_gateway.protocol import typescript
from storm_gateway.protocol.asyncapi import asyncapi_document

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
CLIENT_TYPES = ROOT / "frontend/src/protocol"
CHANGELOG = ROOT / "CHANGELOG.md"


def version() -> str:
    """The version that the documents are about: the one on top of the changelog. What is installed
    has another name after each commit (docs/releases.md).
    """
    found = re.search(r"^## (\S+)", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit("CHANGELOG.md names no version")
    return found[1]


def asyncapi() -> str:
    """docs/asyncapi.yaml."""
    return (
        "# Made by `make docs` from services/gateway/src/storm_gateway/protocol. Do not edit.\n"
        + yaml.safe_dump(
            asyncapi_document(version()), sort_keys=False, allow_unicode=True, width=100
        )
    )


def openapi_document() -> dict[str, Any]:
    """What ``/openapi.json`` answers, with the version of the source tree."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(data_dir=Path(folder), jwt_secret=SecretStr("only for the document" * 2))
        document: dict[str, Any] = Gateway(config).make_api().openapi()
    document["info"]["version"] = version()
    return document


def openapi() -> str:
    """docs/openapi.json."""
    return json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n"


def settings() -> str:
    """The tables of docs/configuration.md, grouped by the comments in config.py."""
    lines: list[str] = []
    for line in inspect.getsource(Config).splitlines():
        if group := re.fullmatch(r"    # (.+)", line):
            lines += ["", f"### {group[1]}", ""]
            lines += ["| Setting | Default | Allowed | Meaning |", "| --- | --- | --- | --- |"]
        elif field := re.match(r"    ([a-z_]+): .+ = Field\(", line):
            lines.append(_setting(field[1]))
    return "\n".join(lines).strip()


def _setting(name: str) -> str:
    field = Config.model_fields[name]
    default = field.default
    if hasattr(default, "get_secret_value"):
        default = default.get_secret_value()
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    allowed = []
    for bound in field.metadata:
        match bound:
            case Ge(ge=number):
                allowed.append(f"≥ {number}")
            case Gt(gt=number):
                allowed.append(f"> {number}")
            case Le(le=number):
                allowed.append(f"≤ {number}")
            case Lt(lt=number):
                allowed.append(f"< {number}")
            case MinLen():
                allowed.append("not empty")
    values = getattr(field.annotation, "__args__", ())
    if values:
        allowed.append(", ".join(f"`{value}`" for value in values))
    elif field.annotation is bool:
        allowed.append("`true`, `false`")
    return (
        f"| `STORM_{name.upper()}` | {f'`{shown}`' if shown else 'empty'} | {', '.join(allowed)} "
        f"| {field.description} |"
    )


def metrics() -> str:
    """The table of docs/metrics.md."""
    lines = ["| Metric | Kind | Meaning |", "| --- | --- | --- |"]
    lines += [
        f"| `{shown_name(family)}` | {family.type} | {family.documentation} |"
        for family in metric_families()
    ]
    return "\n".join(lines)


def between(document: str, name: str, table: str) -> str:
    """The document with the part between ``<!-- name -->`` and ``<!-- end name -->`` replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)"
    made, count = re.subn(
        pattern, lambda m: f"{m[1]}\n{table}\n\n{m[2]}", document, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"expected one pair of {name} markers, found {count}")
    return made


def documents() -> dict[Path, str]:
    """Every document that comes from the code, whole or in part, as it has to be."""
    made = {DOCS / "asyncapi.yaml": asyncapi(), DOCS / "openapi.json": openapi()}
    for path, name, table in (
        (DOCS / "configuration.md", "settings", settings()),
        (DOCS / "metrics.md", "metrics", metrics()),
    ):
        made[path] = between(path.read_text(encoding="utf-8"), name, table)
    types = typescript.files(asyncapi_document(version()), openapi_document())
    made |= {CLIENT_TYPES / name: text for name, text in types.items()}
    return made


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` only compare."""
    stale = [
        path
        for path, text in documents().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        for path in stale:
            print(f"stale: {path.relative_to(ROOT)} (make docs writes it)")  # noqa: T201 a script
        return 1 if stale else 0
    made = documents() if stale else {}
    for path in stale:
        path.write_text(made[path], encoding="utf-8")
        print(f"written: {path.relative_to(ROOT)}")  # noqa: T201 a script
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
