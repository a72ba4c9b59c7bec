"""The documents say everything that there is, and nothing that there is not.

Each checker is a function of a document's text that gives the list of its faults. Besides "the
document has no fault", each is tried on documents with one thing taken out, or one too many put in:
a checker that stays green then would be no checker.
"""

import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Union

import jsonschema_rs
import msgspec
import pytest
import typer
import yaml

from storm_gateway.cli.main import app as command_line
from storm_gateway.config import Config
from storm_gateway.errors import error_codes
from storm_gateway.observability.metrics import metric_names
from storm_gateway.protocol.asyncapi import EXAMPLES, asyncapi_document, tag_of
from storm_gateway.protocol.close_codes import CloseCode, may_reconnect
from storm_gateway.protocol.codec import decode_command
from storm_gateway.protocol.commands import COMMANDS
from storm_gateway.protocol.events import EVENTS, REPLIES

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"

Checker = Callable[[str], list[str]]

# --- reading documents ---


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def documents() -> list[Path]:
    """Every document that people write."""
    elsewhere = [*ROOT.glob("services/*/README.md"), ROOT / "deploy/README.md"]
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *elsewhere])


def section(document: str, heading: str) -> str:
    """The text under a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", document, re.MULTILINE)
    if found is None:
        return ""
    level = len(found[1])
    rest = document[found.end() :]
    end = re.search(rf"^#{{1,{level}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(document: str, heading: str) -> dict[str, list[str]]:
    """The tables under a heading: word in the first column (in backticks) → cells."""
    found = {}
    for line in section(document, heading).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if word := re.fullmatch(r"`([^`]+)`", cells[0]):
            found[word[1]] = cells
    return found


def compared(what: str, there_is: Iterable[str], documented: Iterable[str]) -> list[str]:
    there_is, documented = set(there_is), set(documented)
    return [f"{what} {word} is missing" for word in sorted(there_is - documented)] + [
        f"{what} {word} does not exist" for word in sorted(documented - there_is)
    ]


# --- the checkers ---


def structs(what: str, heading: str, kinds: Iterable[type[msgspec.Struct]]) -> Checker:
    """Every struct has a row that names every one of its fields."""

    def check(document: str) -> list[str]:
        table = rows(document, heading)
        faults = compared(what, (tag_of(kind) for kind in kinds), table)
        for kind in kinds:
            row = " ".join(table.get(tag_of(kind), []))
            for field in kind.__struct_encode_fields__:
                if not re.search(rf"\b{field}\b", row):
                    faults.append(f"{what} {tag_of(kind)}: field {field} is missing")
        return faults

    return check


def check_close_codes(document: str) -> list[str]:
    table = rows(document, "Close codes")
    faults = compared("close code", (str(code.value) for code in CloseCode), table)
    for code in CloseCode:
        cells = table.get(str(code.value))
        if cells and cells[-1] != ("yes" if may_reconnect(code) else "no"):
            faults.append(f"close code {code.value}: reconnect is not {cells[-1]}")
    return faults


def check_error_codes(document: str) -> list[str]:
    table = rows(document, "Error codes")
    faults = compared("error code", error_codes(), table)
    for code, status in error_codes().items():
        if code in table and table[code][1] != str(status):
            faults.append(f"error code {code}: its status is {status}")
    return faults


def check_settings(document: str) -> list[str]:
    names = (f"STORM_{name.upper()}" for name in Config.model_fields)
    return compared("setting", names, rows(document, "Configuration"))


def check_metrics(document: str) -> list[str]:
    table = re.findall(r"^\| `(storm_\w+)` \| \w+ \|", document, re.MULTILINE)
    return compared("metric", metric_names(), table)


BEYOND_OPENAPI = {"GET /", "GET /ws", "GET /events", "GET /docs", "GET /openapi.json"}
"""Answered outside the OpenAPI description, or by its absence."""


def routes() -> set[str]:
    """Every route of the OpenAPI document, with the names of path parameters left out."""
    return {
        without_names(f"{method.upper()} {path}")
        for path, methods in openapi()["paths"].items()
        for method in methods
        if method in ("get", "post", "put", "patch", "delete")
    }


def without_names(route: str) -> str:
    return re.sub(r"\{\w+\}", "{}", route)


def check_routes(document: str) -> list[str]:
    documented = {
        without_names(word)
        for word in rows(document, "HTTP")
        if re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) /\S*", word)
    }
    return compared("route", routes() | BEYOND_OPENAPI, documented)


def commands_of_the_line() -> Iterator[str]:
    """``storm serve``, ``storm user add`` and so on."""

    def walk(command: Any, path: str) -> Iterator[str]:
        children = getattr(command, "commands", None)
        if not children:
            yield path
        for name, child in (children or {}).items():
            if not child.hidden:
                yield from walk(child, f"{path} {name}")

    yield from walk(typer.main.get_command(command_line), "storm")


def check_command_line(document: str) -> list[str]:
    return [
        f"command {command} is missing"
        for command in commands_of_the_line()
        if not re.search(rf"{command}(?![\w-])", document)
    ]


SIZES = {"": 1, "KiB": 1024, "MiB": 1024 * 1024}


def check_limits(document: str) -> list[str]:
    """The defaults in the table of limits are those of the settings."""
    faults = []
    table = rows(document, "Limits")
    for name, cells in table.items():
        setting = name.removeprefix("STORM_").lower()
        if setting not in Config.model_fields:
            faults.append(f"limit {name}: no such setting")
            continue
        number = re.match(r"([\d,.]+) ?(KiB|MiB|)", cells[1])
        default = Config.model_fields[setting].default
        if not number or float(number[1].replace(",", "")) * SIZES[number[2]] != default:
            faults.append(f"limit {name}: the default is {default}")
    if len(table) < 20:
        faults.append("limits are missing")
    return faults


def exchanges(document: str) -> Iterator[tuple[str, str]]:
    """The lines of blocks marked ``ws``: (arrow, JSON)."""
    for block in re.findall(r"^```ws\n(.*?)^```", document, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if found := re.match(r"([→←]) (\{.*\})$", line):
                yield found[1], found[2]


_said: Any = msgspec.json.Decoder(Union[tuple(REPLIES + EVENTS)])  # noqa: UP007 made at run time


def check_exchanges(document: str) -> list[str]:
    """Every line could really travel, and there is one of each kind."""
    faults = []
    shown: dict[str, set[str]] = {"→": set(), "←": set()}
    for arrow, line in exchanges(document):
        try:
            if arrow == "→":
                shown[arrow].add(tag_of(type(decode_command(line.encode()))))
                continue
            said = _said.decode(line)
        except Exception as error:  # noqa: BLE001 whatever is wrong is the finding
            faults.append(f"{line}: {error}")
            continue
        shown[arrow].add(tag_of(type(said)))
        unknown = msgspec.json.decode(line).keys() - {"type", *said.__struct_encode_fields__}
        if unknown:
            faults.append(f"{line}: no such fields: {unknown}")
    return [
        *faults,
        *compared("example of command", map(tag_of, COMMANDS), shown["→"]),
        *compared("example of reply or event", map(tag_of, REPLIES + EVENTS), shown["←"]),
    ]


@cache
def variables_of_the_line() -> frozenset[str]:
    """Environment variables that only the command line reads, such as ``STORM_URL``."""
    sources = (ROOT / "services/gateway/src/storm_gateway/cli").rglob("*.py")
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    found = re.findall(r"""(?:envvar=|environ\.get\(|environ\[)["'](STORM_\w+)""", code)
    return frozenset(found)


@cache
def metrics_of_load_tests() -> frozenset[str]:
    """What the load tests measure on the clients' side; their reports tell it."""
    text = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("loadtest/k6/*.js"))
    return frozenset(re.findall(r"""["'](storm_[a-z_]+)["']""", text))


def check_names(document: str, others: frozenset[str] = frozenset()) -> list[str]:
    """No document speaks of a setting or a metric that is not there."""
    settings = {f"STORM_{name.upper()}" for name in Config.model_fields} | variables_of_the_line()
    metrics = {
        name + ending for name in metric_names() for ending in ("", "_bucket", "_sum", "_count")
    }
    faults = [
        f"setting {word} does not exist"
        for word in set(re.findall(r"\bSTORM_[A-Z][A-Z_]*[A-Z]\b", document)) - settings
    ]
    words = set(re.findall(r"\bstorm_[a-z_]+[a-z]\b", document)) - {"storm_gateway"}
    words -= {name.lower() for name in settings}  # files in STORM_SECRETS_DIR
    return faults + [f"metric {word} does not exist" for word in words - metrics - others]


def check_record(document: str) -> list[str]:
    """A decision record has its four parts, each with something in it."""
    return [
        f"{heading} is missing"
        for heading in ("Status", "Context", "Decision", "Consequences")
        if not section(document, heading).strip()
    ]


API_CHECKERS: dict[str, Checker] = {
    "commands": structs("command", "Commands", COMMANDS),
    "replies": structs("reply", "Replies", REPLIES),
    "events": structs("event", "Events", EVENTS),
    "close codes": check_close_codes,
    "error codes": check_error_codes,
    "limits": check_limits,
    "routes": check_routes,
    "exchanges": check_exchanges,
}


@pytest.mark.parametrize("what", API_CHECKERS)
def test_api_reference_is_complete_and_true(what: str) -> None:
    assert API_CHECKERS[what](text_of("docs/api.md")) == []


def test_every_setting_is_documented() -> None:
    assert check_settings(text_of("docs/configuration.md")) == []


def test_every_metric_is_documented() -> None:
    assert check_metrics(text_of("docs/metrics.md")) == []


def test_every_command_and_variable_of_the_command_line_is_documented() -> None:
    assert check_command_line(text_of("docs/cli.md")) == []
    for name in variables_of_the_line():
        assert name in text_of("docs/cli.md")


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_no_setting_or_metric_that_is_not_there(path: Path) -> None:
    others = metrics_of_load_tests() if path.parent.name == "load-tests" else frozenset[str]()
    assert check_names(path.read_text(encoding="utf-8"), others) == []


@pytest.mark.parametrize("path", sorted((DOCS / "decisions").glob("*.md")), ids=lambda p: p.name)
def test_decision_records_have_their_four_parts(path: Path) -> None:
    number = path.name.partition("-")[0]
    assert check_record(path.read_text(encoding="utf-8")) == []
    assert re.match(rf"# {int(number)}\. ", path.read_text(encoding="utf-8"))


# --- the checkers themselves ---


def row_words(name: str, heading: str) -> list[str]:
    return list(rows(text_of(name), heading))


def without_row(document: str, heading: str, word: str) -> str:
    part = section(document, heading)
    kept = re.sub(rf"^\| `{re.escape(word)}` .*\n", "", part, flags=re.MULTILINE)
    assert kept != part
    return document.replace(part, kept)


@pytest.mark.parametrize(
    ("what", "heading"),
    [
        ("commands", "Commands"),
        ("replies", "Replies"),
        ("events", "Events"),
        ("close codes", "Close codes"),
        ("error codes", "Error codes"),
        ("routes", "HTTP"),
    ],
)
def test_checker_sees_every_row_that_is_taken_out(what: str, heading: str) -> None:
    document = text_of("docs/api.md")
    words = row_words("docs/api.md", heading)
    if what == "routes":
        words = [word for word in words if word.partition(" ")[2].startswith("/")]
    assert words
    for word in words:
        assert API_CHECKERS[what](without_row(document, heading, word)), word


@pytest.mark.parametrize("what", ["commands", "replies", "events", "close codes", "error codes"])
def test_checker_sees_a_row_too_many(what: str) -> None:
    heading = what.capitalize()
    document = text_of("docs/api.md")
    part = section(document, heading)
    first = next(line for line in part.splitlines() if line.startswith("| `"))
    more = part.replace(first, f"{first}\n| `invented` | `ref` | yes | no |")
    assert API_CHECKERS[what](document.replace(part, more))


def test_checker_sees_every_field_that_is_taken_out() -> None:
    document = text_of("docs/api.md")
    for kinds, heading in ((COMMANDS, "Commands"), (REPLIES, "Replies"), (EVENTS, "Events")):
        check = API_CHECKERS[heading.lower()]
        for kind in kinds:
            (line,) = (
                line
                for line in section(document, heading).splitlines()
                if line.startswith(f"| `{tag_of(kind)}` ")
            )
            for field in kind.__struct_encode_fields__:
                assert check(document.replace(line, re.sub(rf"\b{field}\b", "x", line))), field


def test_checker_sees_a_wrong_word_about_reconnecting() -> None:
    (line,) = (line for line in text_of("docs/api.md").splitlines() if line.startswith("| `4001` "))
    wrong = line.replace("| yes |", "| no |")
    assert wrong != line
    assert check_close_codes(text_of("docs/api.md").replace(line, wrong))


def test_checker_sees_a_wrong_status_and_a_wrong_limit() -> None:
    document = text_of("docs/api.md")
    assert check_error_codes(document.replace("| `not_found` | 404 |", "| `not_found` | 410 |"))
    assert check_limits(document.replace("4,000 characters", "5,000 characters"))


def test_checker_sees_a_setting_and_a_metric_that_are_taken_out() -> None:
    settings, metrics = text_of("docs/configuration.md"), text_of("docs/metrics.md")
    for word in rows(settings, "Configuration"):
        assert check_settings(re.sub(rf"^\| `{word}` .*\n", "", settings, flags=re.M)), word
    for word in metric_names():
        assert check_metrics(re.sub(rf"^\| `{word}` .*\n", "", metrics, flags=re.M)), word


def test_checker_sees_a_command_of_the_line_that_is_taken_out() -> None:
    document = text_of("docs/cli.md")
    for command in commands_of_the_line():
        assert check_command_line(document.replace(command, "storm")), command


def test_checker_sees_an_example_that_could_not_travel() -> None:
    document = text_of("docs/api.md")
    assert check_exchanges(document.replace('"type":"subscribe"', '"type":"listen"'))
    assert check_exchanges(document.replace('"head":', '"newest":'))
    for arrow, line in exchanges(document):
        kind = msgspec.json.decode(line)["type"]
        kept = "\n".join(
            shown
            for shown in document.splitlines()
            if not (shown.startswith(arrow) and f'"type":"{kind}"' in shown)
        )
        assert check_exchanges(kept), line


def test_checker_sees_names_that_do_not_exist() -> None:
    assert check_names("Set `STORM_NO_SUCH_THING=1`.")
    assert check_names("Watch `storm_no_such_things_total`.")
    assert check_names("`STORM_ADDR`, `storm_gateway`, `storm_loop_lag_seconds_bucket`") == []


def test_checker_sees_a_record_without_a_part() -> None:
    whole = "# 1. X\n\n## Status\n\nAccepted.\n\n## Context\n\nA\n\n## Decision\n\nB\n\n"
    assert check_record(whole) == ["Consequences is missing"]
    assert check_record(whole + "## Consequences\n\nC\n") == []


# --- links ---


def anchors(document: str) -> set[str]:
    """The anchors that headings get."""
    prose = re.sub(r"^```.*?^```", "", document, flags=re.MULTILINE | re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    }


def broken_links(path: Path, document: str) -> list[str]:
    prose = re.sub(r"^```.*?^```", "", document, flags=re.MULTILINE | re.DOTALL)
    faults = []
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists():
            faults.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
            faults.append(f"{target}: no such heading")
    return faults


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path, path.read_text(encoding="utf-8")) == []


def test_checker_sees_links_that_lead_nowhere() -> None:
    path = DOCS / "index.md"
    assert broken_links(path, "[a](nothing.md)") == ["nothing.md: no such file"]
    assert broken_links(path, "[a](api.md#nothing)") == ["api.md#nothing: no such heading"]
    assert broken_links(path, "[a](api.md#close-codes)") == []


# --- what is made from the code ---


@cache
def generator() -> ModuleType:
    path = ROOT / "services/gateway/scripts/generate_docs.py"
    spec = importlib.util.spec_from_file_location("generate_docs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def openapi() -> dict[str, Any]:
    document: dict[str, Any] = generator().openapi_document()
    return document


def test_made_documents_are_current() -> None:
    for path, made in generator().documents().items():
        assert path.read_text(encoding="utf-8") == made, f"{path.name} is stale: make docs"


def test_check_says_which_document_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("configuration.md", "metrics.md", "asyncapi.yaml", "openapi.json"):
        (tmp_path / "docs").mkdir(exist_ok=True)
        (tmp_path / "docs" / name).write_bytes((DOCS / name).read_bytes())
    monkeypatch.setattr(generator(), "DOCS", tmp_path / "docs")
    monkeypatch.setattr(generator(), "ROOT", tmp_path)
    assert generator().main(["--check"]) == 0
    stale = tmp_path / "docs/metrics.md"
    stale.write_text(stale.read_text().replace("| `storm_ready` |", "| `storm_old` |"))
    assert generator().main(["--check"]) == 1
    assert "stale: docs/metrics.md" in capsys.readouterr().out
    assert generator().main([]) == 0
    assert generator().main(["--check"]) == 0


# --- AsyncAPI ---


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text_of("docs/asyncapi.yaml"))
    return document


def resolved(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_asyncapi_references_lead_somewhere(asyncapi: dict[str, Any]) -> None:
    found = set(references(asyncapi))
    assert found
    for reference in found:
        assert isinstance(resolved(asyncapi, reference), dict), reference


def test_asyncapi_has_the_form_of_version_3(asyncapi: dict[str, Any]) -> None:
    assert asyncapi["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= asyncapi["info"].keys()
    allowed = {"asyncapi", "id", "info", "servers", "defaultContentType", "channels"}
    allowed |= {"operations", "components"}
    assert {key for key in asyncapi if not key.startswith("x-")} <= allowed
    for server in asyncapi["servers"].values():
        assert {"host", "protocol"} <= server.keys()
    for channel in asyncapi["channels"].values():
        assert channel["address"].startswith("/")
        assert channel["messages"]
    for operation in asyncapi["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = resolved(asyncapi, operation["channel"]["$ref"])
        on_channel = {message["$ref"] for message in channel["messages"].values()}
        spoken = operation["messages"] + operation.get("reply", {}).get("messages", [])
        # The specification: messages of an operation are a subset of those of its channel.
        for message in spoken:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
            assert resolved(asyncapi, message["$ref"])["$ref"] in on_channel


def test_asyncapi_has_every_command_reply_and_event(asyncapi: dict[str, Any]) -> None:
    received = [op for op in asyncapi["operations"].values() if op["action"] == "receive"]
    sent = [op for op in asyncapi["operations"].values() if op["action"] == "send"]

    def names(messages: list[dict[str, str]]) -> set[str]:
        return {
            resolved(asyncapi, resolved(asyncapi, message["$ref"])["$ref"])["name"]
            for message in messages
        }

    assert names([m for op in received for m in op["messages"]]) == set(map(tag_of, COMMANDS))
    assert names([m for op in received for m in op["reply"]["messages"]]) == set(
        map(tag_of, REPLIES)
    )
    assert names([m for op in sent for m in op["messages"]]) == set(map(tag_of, EVENTS))


def test_asyncapi_examples_fit_their_schemas(asyncapi: dict[str, Any]) -> None:
    messages = asyncapi["components"]["messages"]
    assert len(messages) == len(EXAMPLES)
    for message in messages.values():
        schema = {**message["payload"], "components": asyncapi["components"]}
        for example in message["examples"]:
            assert jsonschema_rs.is_valid(schema, example["payload"]), message["name"]
            assert not jsonschema_rs.is_valid(schema, {**example["payload"], "type": "x"})


def test_asyncapi_shows_what_the_codec_writes_and_reads() -> None:
    document = asyncapi_document("0")
    for message in document["components"]["messages"].values():
        (example,) = message["examples"]
        text = msgspec.json.encode(example["payload"])
        if message["x-kind"] == "command":
            assert tag_of(type(decode_command(text))) == message["name"]
        else:
            assert tag_of(type(_said.decode(text))) == message["name"]
