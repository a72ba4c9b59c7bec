import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.config import Config
from storm_gateway.observability.logging import configure_logging
from storm_gateway.observability.text import escape_control, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def configured(stream: io.StringIO | None = None, **settings: Any) -> io.StringIO:
    stream = stream if stream is not None else io.StringIO()
    configure_logging(Config(**settings), stream)
    return stream


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n") if line]


def test_away_from_a_terminal_each_record_is_one_line_of_json_in_utc() -> None:
    out = configured()
    structlog.get_logger("storm_gateway.test").info("started", port=8080, ratio=0.5, tls=None)
    (record,) = records(out)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "started",
        "level": "info",
        "logger": "storm_gateway.test",
        "port": 8080,
        "ratio": 0.5,
        "tls": None,
    }


def test_records_of_a_node_with_a_name_say_it_whichever_library_wrote_them() -> None:
    out = configured(node_name="gate-1")
    structlog.get_logger().info("ours")
    logging.getLogger("uvicorn.error").info("theirs")
    structlog.get_logger().info("of another", node="gate-2")
    assert [record["node"] for record in records(out)] == ["gate-1", "gate-1", "gate-2"]
    nameless = configured()
    structlog.get_logger().info("ours")
    assert "node" not in records(nameless)[0]


def test_a_terminal_gets_colours_and_a_pipe_asked_to_be_human_does_not() -> None:
    terminal = configured(Terminal())
    structlog.get_logger().info("started")
    assert "\x1b[" in terminal.getvalue()
    pipe = configured(log_format="human")
    structlog.get_logger().info("started")
    assert "\x1b[" not in pipe.getvalue()
    assert "started" in pipe.getvalue()


def test_the_level_is_a_floor_for_our_loggers_and_for_the_libraries() -> None:
    out = configured(log_level="warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("uvicorn.error").info("quiet")
    structlog.get_logger().warning("loud")
    logging.getLogger("uvicorn.error").warning("loud")
    assert [record["event"] for record in records(out)] == ["loud", "loud"]


def test_debug_lines_of_the_http_libraries_stay_silent_because_they_print_tokens() -> None:
    out = configured(log_level="debug")
    logging.getLogger("websockets.client").debug("> GET /ws?token=abc HTTP/1.1")
    logging.getLogger("httpx2").info("HTTP Request: GET http://h/?token=abc")
    structlog.get_logger().debug("ours")
    assert [record["event"] for record in records(out)] == ["ours"]


def test_uvicorns_access_line_loses_its_query_string() -> None:
    out = configured()
    logger = logging.getLogger("uvicorn.access")
    logger.addHandler(logging.StreamHandler(out))  # as uvicorn's own configuration would
    configure_logging(Config(), out)
    logger.info(
        '%s - "%s %s HTTP/%s" %d',
        *("10.0.0.1:1", "GET", f"/ws?channel_id=1&token={JWT}", "1.1", 101),
        extra={"color_message": "the same again"},
    )
    (record,) = records(out)
    assert record["event"] == '10.0.0.1:1 - "GET /ws?[removed] HTTP/1.1" 101'
    assert "color_message" not in record


@pytest.mark.parametrize(
    "text",
    [
        f"GET /ws?token={JWT}",
        f"Authorization: Bearer {JWT}",
        "{'authorization': 'Bearer sUpersecret'}",
        "[(b'cookie', b'access_token=sUpersecret; a=b')]",
        "Set-Cookie: refresh_token=sUpersecret; HttpOnly",
        "bearer sUpersecret",
        '{"password": "sUpersecret"}',
        "refresh_token=sUpersecret&x=1",
        f"the token was {JWT} or so",
        "postgresql://storm:sUpersecret@db/storm",
        "http://127.0.0.1:8080/?ticket=sUpersecret#x",
    ],
)
def test_secrets_are_taken_out_of_any_text(text: str) -> None:
    cleaned = redact(text)
    assert "sUpersecret" not in cleaned
    assert JWT not in cleaned
    assert "[removed]" in cleaned
    assert redact(cleaned) == cleaned


def test_text_without_secrets_stays_as_it_is() -> None:
    for text in ("alice said: what? yes=no", "3 connections closed", "GET /channels/1/messages"):
        assert redact(text) == text


def test_fields_named_after_secrets_are_masked_at_any_depth() -> None:
    out = configured()
    structlog.get_logger().info(
        "login", token="plain", headers={"Cookie": "x=y", "Host": "h"}, all=[{"password": "p"}]
    )
    (record,) = records(out)
    assert record["token"] == "[removed]"
    assert record["headers"] == {"Cookie": "[removed]", "Host": "h"}
    assert record["all"] == [{"password": "[removed]"}]


HOSTILE = "a\r\n2026-01-01 [info] forged \x1b[2J\x9b31m\u2028b\u202ec\ud800"


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_a_name_with_control_characters_forges_no_line_and_drives_no_terminal(
    log_format: str,
) -> None:
    out = configured(log_format=log_format)
    structlog.get_logger().info(HOSTILE, user=HOSTILE, **{HOSTILE: [HOSTILE]})
    logging.getLogger("somewhere").warning("from %s", HOSTILE)
    shown = out.getvalue()
    assert shown.count("\n") == 2
    for character in "\r\x1b\x9b\u2028\u202e\ud800":
        assert character not in shown
    shown.encode()


def raiser(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_an_exceptions_text_cannot_pass_for_a_log_line(log_format: str) -> None:
    out = configured(log_format=log_format)
    text = "bad\n2026-01-01T00:00:00Z [info] forged token=sUpersecret \x1b[31m"
    try:
        raiser(text)
    except ValueError:
        structlog.get_logger().exception("broke")
    shown = out.getvalue()
    assert "sUpersecret" not in shown
    assert "\x1b" not in shown
    if log_format == "json":
        (record,) = records(out)
        assert record["exception"].startswith("Traceback")
        assert "\n2026-01-01T00:00:00Z" in record["exception"]
    else:
        first, *rest, end = shown.split("\n")
        assert "broke" in first
        assert end == ""
        assert all(line.startswith("    | ") for line in rest)


def test_things_that_json_does_not_know_are_written_as_text() -> None:
    out = configured()
    nested: Any = "deep"
    for _ in range(20):
        nested = [nested]
    structlog.get_logger().info("odd", error=ValueError("x\ny"), names={"a"}, nested=nested)
    (record,) = records(out)
    assert record["error"] == "x\\x0ay"
    assert record["names"] == ["a"]


@given(st.text())
def test_escaped_text_is_one_printable_line_that_can_be_encoded(text: str) -> None:
    escaped = escape_control(text)
    assert len(escaped.splitlines()) <= 1
    assert escape_control(escaped) == escaped
    escaped.encode()


def test_characters_to_keep_are_kept() -> None:
    assert escape_control("a\tb\nc", keep="\t") == "a\tb\\x0ac"


def test_emoji_made_of_several_parts_stay_whole() -> None:
    assert escape_control("👩‍👩‍👧 नमस्ते") == "👩‍👩‍👧 नमस्ते"
