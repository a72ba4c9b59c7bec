"""The opening handshake: who is let in, and how the others are told."""

import contextlib
import json
from base64 import b64encode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storm_gateway.protocol.handshake import (
    MAX_HEADERS,
    RefusedHandshake,
    Request,
    accept_response,
    check_origin,
    check_upgrade,
    parse_request,
    wants_upgrade,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The sample of RFC 6455 § 1.3."""

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no fault of the code."""

UPGRADE = {
    "Host": "chat.example",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def head(
    *extra: str, line: str = "GET /ws HTTP/1.1", without: str = "", **changed: str | None
) -> bytes:
    """A request head: a proper upgrade, with some headers added, changed or left out."""
    headers = {name: value for name, value in UPGRADE.items() if name != without}
    headers |= {name.replace("_", "-"): value for name, value in changed.items() if value}
    rows = [line, *(f"{name}: {value}" for name, value in headers.items()), *extra]
    return ("\r\n".join(rows) + "\r\n\r\n").encode("latin-1")


def request(*extra: str, target: str = "/ws") -> Request:
    return parse_request(head(*extra, line=f"GET {target} HTTP/1.1"))


def split(answer: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers with lower-case names, body."""
    top, _, body = answer.partition(b"\r\n\r\n")
    status, *rows = top.decode("ascii").split("\r\n")
    headers = [row.split(": ", 1) for row in rows]
    assert len({name.lower() for name, _ in headers}) == len(headers), "a header is doubled"
    return status, {name.lower(): value for name, value in headers}, body


# --- the way in ---


def test_the_sample_of_the_rfc_is_accepted() -> None:
    key = check_upgrade(parse_request(head()))
    assert key == KEY
    status, headers, body = split(accept_response(key, subprotocol=False))
    assert status == "HTTP/1.1 101 Switching Protocols"
    assert headers == {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    }
    assert body == b""


def test_the_subprotocol_is_named_when_it_was_chosen() -> None:
    _, headers, _ = split(accept_response(KEY, subprotocol=True))
    assert headers["sec-websocket-protocol"] == "storm.v1"
    assert "sec-websocket-extensions" not in headers


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"Connection": "keep-alive, Upgrade"}, id="as Firefox says it"),
        pytest.param({"Connection": "upgrade"}, id="lower case"),
        pytest.param({"Upgrade": "WebSocket"}, id="mixed case"),
        pytest.param({"Upgrade": "h2c, websocket"}, id="one of several"),
        pytest.param({"Sec_WebSocket_Key": b64encode(b"\xff" * 16).decode()}, id="another key"),
        pytest.param({"Sec_WebSocket_Extensions": "permessage-deflate"}, id="an extension offered"),
    ],
)
def test_proper_upgrades_are_let_in(changed: dict[str, str]) -> None:
    assert check_upgrade(parse_request(head(**changed)))


def test_header_names_may_have_any_case() -> None:
    shouted = head().decode()
    for name in UPGRADE:
        shouted = shouted.replace(f"{name}:", f"{name.upper()}:")
    assert check_upgrade(parse_request(shouted.encode())) == KEY


def test_repeated_list_headers_are_one_list() -> None:
    found = parse_request(head("Connection: keep-alive", "X-Tag: a", "X-Tag: b,c", "X-Tag:  d "))
    assert found.values("connection") == ["Upgrade", "keep-alive"]
    assert found.values("x-tag") == ["a", "b", "c", "d"]
    assert found.values("absent") == []


# --- refusals of an upgrade ---


@pytest.mark.parametrize(
    ("data", "status", "code", "header"),
    [
        *(
            pytest.param(
                head(line=f"{method} /ws HTTP/1.1"),
                405,
                "method_not_allowed",
                ("allow", "GET"),
                id=method,
            )
            for method in ("POST", "HEAD", "OPTIONS", "get")
        ),
        *(
            pytest.param(
                head(line=f"GET /ws {version}"), 400, "invalid_request", None, id=version or "none"
            )
            for version in ("HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "http/1.1", "")
        ),
        pytest.param(head(without="Host"), 400, "invalid_request", None, id="no Host"),
        pytest.param(
            head("Host:", without="Host"), 400, "invalid_request", None, id="an empty Host"
        ),
        pytest.param(head("Content-Length: 4"), 400, "invalid_request", None, id="a body"),
        pytest.param(head("Content-Length: 0"), 400, "invalid_request", None, id="an empty body"),
        pytest.param(
            head("Transfer-Encoding: chunked"), 400, "invalid_request", None, id="a chunked body"
        ),
        pytest.param(head(without="Connection"), 400, "invalid_request", None, id="no Connection"),
        pytest.param(
            head(Connection="keep-alive"), 400, "invalid_request", None, id="only keep-alive"
        ),
        pytest.param(
            head(Connection="NoUpgrade"), 400, "invalid_request", None, id="a word that contains it"
        ),
        pytest.param(
            head(without="Upgrade"),
            426,
            "upgrade_required",
            ("upgrade", "websocket"),
            id="no Upgrade",
        ),
        pytest.param(
            head(Upgrade="h2c"), 426, "upgrade_required", ("upgrade", "websocket"), id="another"
        ),
        *(
            pytest.param(
                head(Sec_WebSocket_Version=version),
                426,
                "upgrade_required",
                ("sec-websocket-version", "13"),
                id=f"version {version}",
            )
            for version in ("8", "12", "14", "013", "13.0", "13, 8")
        ),
        pytest.param(
            head(without="Sec-WebSocket-Version"),
            426,
            "upgrade_required",
            ("sec-websocket-version", "13"),
            id="no version",
        ),
        pytest.param(head(without="Sec-WebSocket-Key"), 400, "invalid_request", None, id="no key"),
        *(
            pytest.param(
                head(f"Sec-WebSocket-Key: {key}", without="Sec-WebSocket-Key"),
                400,
                "invalid_request",
                None,
                id=name,
            )
            for name, key in (
                ("an empty key", ""),
                ("a key of 15 bytes", b64encode(b"x" * 15).decode()),
                ("a key of 17 bytes", b64encode(b"x" * 17).decode()),
                ("no base64", "!" * 24),
                ("base64 without its end", KEY.rstrip("=")),
                ("a key that is not ASCII", "é" * 24),
                ("spaces in the key", KEY[:8] + " " + KEY[8:]),
            )
        ),
    ],
)
def test_a_bad_upgrade_is_refused_with_status_code_and_header(
    data: bytes, status: int, code: str, header: tuple[str, str] | None
) -> None:
    with pytest.raises(RefusedHandshake) as refused:
        check_upgrade(parse_request(data))
    line, headers, body = split(refused.value.response())
    assert line.startswith(f"HTTP/1.1 {status} ")
    assert json.loads(body)["code"] == code
    if header is not None:
        assert headers[header[0]] == header[1]


def test_a_refusal_is_a_whole_http_answer_with_json_and_security_headers() -> None:
    refused = RefusedHandshake(503, "unavailable", "This node is full.", retry_after=5)
    line, headers, body = split(refused.response())
    assert line == "HTTP/1.1 503 Service Unavailable"
    assert headers["content-type"] == "application/json"
    assert int(headers["content-length"]) == len(body)
    assert headers["connection"] == "close"
    assert headers["retry-after"] == "5"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["permissions-policy"]
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"
    assert json.loads(body) == {
        "code": "unavailable",
        "message": "This node is full.",
        "retry_after_ms": 5_000,
    }


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 426, 429, 431, 500, 503])
def test_every_refusal_can_be_read_as_http(status: int) -> None:
    line, headers, body = split(RefusedHandshake(status, "c", 'says "so" ☂').response())
    version, number, phrase = line.split(" ", 2)
    assert (version, number) == ("HTTP/1.1", str(status))
    assert phrase
    assert "retry-after" not in headers
    assert int(headers["content-length"]) == len(body)
    assert json.loads(body) == {"code": "c", "message": 'says "so" ☂'}


# --- heads that are odd ---


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head("no colon here"), id="no colon"),
        pytest.param(head(": nameless"), id="no name"),
        pytest.param(head("X Tag: a"), id="a space in the name"),
        pytest.param(head("X-Tag : a"), id="a space before the colon"),
        pytest.param(head("X\tTag: a"), id="a tab in the name"),
        pytest.param(head("Ünicode: a"), id="a name that is not ASCII"),
        pytest.param(head("X(Tag): a"), id="brackets in the name"),
        pytest.param(head("X\x00: a"), id="NUL in the name"),
        pytest.param(head("X-Tag: a\x00b"), id="NUL in the value"),
        pytest.param(head("X-Tag: a\nX-Other: b"), id="a bare line feed"),
        pytest.param(head("X-Tag: a\rX-Other: b"), id="a bare carriage return"),
        pytest.param(head("X-Tag: a", " folded"), id="a value over two lines"),
        pytest.param(head("X-Tag: a", "\tfolded: b"), id="a value over two lines with a tab"),
        pytest.param(head("Host: other.example"), id="Host twice"),
        pytest.param(head("HOST: chat.example"), id="the same Host twice"),
        pytest.param(head("Origin: https://a.example", "Origin: https://b.example"), id="Origins"),
        pytest.param(head("Authorization: Bearer a", "authorization: Bearer b"), id="two tokens"),
        pytest.param(head(f"Sec-WebSocket-Key: {KEY}"), id="two keys"),
        pytest.param(head(line="GET /ws"), id="no version"),
        pytest.param(head(line="GET  /ws HTTP/1.1"), id="two spaces"),
        pytest.param(head(line="GET /a b HTTP/1.1"), id="a space in the path"),
        pytest.param(head(line="GET\t/ws\tHTTP/1.1"), id="tabs"),
        pytest.param(head(line=""), id="an empty line first"),
        pytest.param(head(line="GET ws HTTP/1.1"), id="a relative path"),
        pytest.param(head(line="GET http://other.example/ws HTTP/1.1"), id="a whole address"),
        pytest.param(head(line="GET * HTTP/1.1"), id="an asterisk"),
        pytest.param(head(line="GET /ws#top HTTP/1.1"), id="a fragment"),
        pytest.param(b"\r\n\r\n", id="nothing"),
        pytest.param(b"", id="no byte"),
        pytest.param(b"GET /ws HTTP/1.1", id="no end of the line"),
        pytest.param(b"GET /ws HTTP/1.1\r\nHost: a\r\n", id="no empty line"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
    ],
)
def test_a_malformed_head_is_refused_with_400(data: bytes) -> None:
    with pytest.raises(RefusedHandshake) as refused:
        parse_request(data)
    assert refused.value.status == 400
    assert refused.value.code == "invalid_request"


def test_headers_are_counted() -> None:
    room = MAX_HEADERS - len(UPGRADE)
    assert len(parse_request(head(*(f"X-{n}: a" for n in range(room)))).headers) == MAX_HEADERS
    with pytest.raises(RefusedHandshake) as refused:
        parse_request(head(*(f"X-{n}: a" for n in range(room + 1))))
    assert refused.value.status == 431
    # Repeating one header does not get around it.
    with pytest.raises(RefusedHandshake) as refused:
        parse_request(head(*["X: a"] * (room + 1)))
    assert refused.value.status == 431


@patient
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    wants_upgrade(data)
    for head_or_not in (data, b"GET /" + data, data + b"\r\n\r\n"):
        with contextlib.suppress(RefusedHandshake):
            parse_request(head_or_not)


LINES = st.one_of(
    st.sampled_from(head().decode().split("\r\n")),
    st.text(st.characters(max_codepoint=255), max_size=30),
    st.sampled_from(
        ["Cookie: a=b", "Cookie: ; =", "Origin: null", "X: \x85", "\xb5: 1", "\x0b: 1"]
    ),
)


@patient
@given(
    st.sampled_from(["GET /ws HTTP/1.1", "GET /ws?token=a&token=b HTTP/1.1", "GET /? x"]),
    st.lists(LINES, max_size=12),
)
def test_any_head_goes_through_all_checks_or_is_refused(line: str, lines: list[str]) -> None:
    data = "\r\n".join([line, *lines, "", ""]).encode("latin-1")
    try:
        found = parse_request(data)
        found.cookie("access_token")
        found.parameter("token")
        check_origin(found, frozenset(), by_cookie=False)
        check_upgrade(found)
    except RefusedHandshake as refused:
        split(refused.response())


@patient
@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=255, exclude_characters="#")))
def test_any_query_is_read_or_refused(query: str) -> None:
    with contextlib.suppress(RefusedHandshake):
        request(target=f"/ws?{query}").parameter("token")


# --- is it an upgrade at all? ---


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (head(), True),
        (head(Upgrade="WEBSOCKET"), True),
        (head().lower(), True),
        (head(line="POST /ws HTTP/1.1"), True),  # refused with a reason by the gateway itself
        (head(without="Upgrade"), False),
        (head(Upgrade="h2c"), False),
        (head("X: websocket", Upgrade="h2c"), False),
        (head("X-Upgrade: websocket", without="Upgrade"), False),
        (b"GET /upgrade:websocket HTTP/1.1\r\n\r\n", False),
        (b"", False),
    ],
)
def test_an_upgrade_is_seen_without_parsing(data: bytes, expected: bool) -> None:
    assert wants_upgrade(data) is expected


# --- whose page is it? ---

ALLOWED = frozenset({"https://good.example", "http://localhost:5173"})


@pytest.mark.parametrize(
    "origin",
    [
        "https://good.example",
        "HTTPS://Good.Example",
        "http://localhost:5173",
        "https://chat.example",  # the gateway's own, which the header Host names
        "http://chat.example",
        "http://CHAT.example",
    ],
)
@pytest.mark.parametrize("by_cookie", [True, False])
def test_pages_of_allowed_origins_may_connect(origin: str, by_cookie: bool) -> None:
    check_origin(request(f"Origin: {origin}"), ALLOWED, by_cookie=by_cookie)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "https://good.example.evil",
        "https://evilgood.example",
        "https://sub.good.example",
        "http://good.example",
        "https://good.example:8443",
        "https://good.example/",
        "https://good.example, https://evil.example",
        "http://localhost",
        "http://localhost:5174",
        "http://localhost:51730",
        "http://chat.example:81",
        "http://chat.example.evil",
        "http://chat.example@evil.example",
        "ftp://chat.example",
        "chat.example",
        "file://",
        "*",
    ],
)
@pytest.mark.parametrize("by_cookie", [True, False])
def test_pages_of_other_sites_may_not_connect(origin: str, by_cookie: bool) -> None:
    with pytest.raises(RefusedHandshake) as refused:
        check_origin(request(f"Origin: {origin}"), ALLOWED, by_cookie=by_cookie)
    assert (refused.value.status, refused.value.code) == (403, "forbidden")


def test_programs_send_no_origin_and_may_connect_but_not_with_a_cookie() -> None:
    check_origin(request(), ALLOWED, by_cookie=False)
    with pytest.raises(RefusedHandshake) as refused:
        check_origin(request(), ALLOWED, by_cookie=True)
    assert refused.value.status == 403


# --- query and cookies ---


def test_parameters_are_decoded() -> None:
    found = request(target="/ws?token=a%2Bb%20c&subject=d+e&empty=&%C3%A9=1")
    assert found.path == "/ws"
    assert found.parameter("token") == "a+b c"
    assert found.parameter("subject") == "d e"
    assert found.parameter("empty") == ""
    assert found.parameter("é") == "1"
    assert found.parameter("absent") is None


@pytest.mark.parametrize("query", ["token=a&token=b", "token=a&token=a", "token=&to%6ben=a"])
def test_a_parameter_given_twice_is_refused_when_it_is_read(query: str) -> None:
    found = request(target=f"/ws?x=1&{query}")
    assert found.parameter("x") == "1"
    with pytest.raises(RefusedHandshake) as refused:
        found.parameter("token")
    assert refused.value.status == 400


def test_parameters_are_counted() -> None:
    assert request(target="/ws?" + "&".join(f"p{n}=1" for n in range(32))).parameter("p31") == "1"
    with pytest.raises(RefusedHandshake) as refused:
        request(target="/ws?" + "&".join(f"p{n}=1" for n in range(33))).parameter("p1")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["Cookie: access_token=abc"], "abc"),
        (["Cookie: a=b; access_token=abc; c=d"], "abc"),
        (["Cookie: a=b;access_token=abc"], "abc"),
        (["Cookie: a=b", "Cookie: access_token=abc"], "abc"),
        (['Cookie: access_token="abc"'], "abc"),
        (["Cookie: access_token=ab=c="], "ab=c="),
        (["Cookie: access_token="], ""),
        (["Cookie: xaccess_token=abc"], None),
        (["Cookie: access_token2=abc"], None),
        (["Cookie: ACCESS_TOKEN=abc"], None),
        (["Cookie: access_tokenabc"], None),
        ([], None),
    ],
)
def test_cookies(rows: list[str], expected: str | None) -> None:
    assert request(*rows).cookie("access_token") == expected
