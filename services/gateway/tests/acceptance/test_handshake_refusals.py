"""Every way not to get in, with the answer that a client can act on."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest
from harness import (
    SECRET,
    TEXT,
    Node,
    Peer,
    Refused,
    frame,
    read_answer,
    token,
    upgrade_head,
)

Start = Callable[..., Awaitable[Node]]

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def _check(refused: Refused, status: int, code: str) -> None:
    """The status, a JSON body that says why, and the headers of the contract."""
    assert refused.status == status, refused
    body = refused.json()
    assert body["code"] == code, body
    assert len(body["message"]) > 10
    assert refused.headers["content-type"].startswith("application/json")
    for name, value in SECURITY_HEADERS.items():
        assert refused.headers[name] == value
    assert "permissions-policy" in refused.headers
    assert "default-src 'none'" in refused.headers["content-security-policy"]
    if status in (429, 503):
        assert int(refused.headers["retry-after"]) >= 1
    if status == 401:
        assert refused.headers["www-authenticate"].startswith("Bearer")


async def _refused(node: Node, target: str = "/ws", headers: Any = (), **options: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await node.open(target, headers, **options)
    return caught.value


async def _raw(node: Node, head: bytes) -> Refused:
    """Send these very bytes; the connection ends after the answer."""
    peer = await node.tcp()
    peer.write(head)
    async with asyncio.timeout(10):
        answer = Refused(*await read_answer(peer.reader))
        await peer.ended()
    return answer


def _with(**headers: str) -> dict[str, str]:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"Authorization": f"Bearer {token('alice')}", **fields}


async def test_a_malformed_upgrade_is_refused(node: Node) -> None:
    for headers, status, code in (
        (_with(Sec_WebSocket_Version="8"), 426, "upgrade_required"),
        (_with(Sec_WebSocket_Version=""), 426, "upgrade_required"),
        (_with(Sec_WebSocket_Key=""), 400, "invalid_request"),
        (_with(Sec_WebSocket_Key="c2hvcnQ="), 400, "invalid_request"),
        (_with(Sec_WebSocket_Key="not base64 at all!!"), 400, "invalid_request"),
        (_with(Connection="keep-alive"), 400, "invalid_request"),
        (_with(Connection=""), 400, "invalid_request"),
        (_with(Host=""), 400, "invalid_request"),
        (_with(Content_Length="5"), 400, "invalid_request"),
        (_with(Transfer_Encoding="chunked"), 400, "invalid_request"),
    ):
        _check(await _refused(node, headers=headers), status, code)


async def test_firefox_s_connection_header_and_other_cases_of_letters_are_accepted(
    node: Node,
) -> None:
    for connection, upgrade in (("keep-alive, Upgrade", "websocket"), ("UPGRADE", "WebSocket")):
        peer = await node.open(headers=_with(Connection=connection, Upgrade=upgrade))
        assert (await peer.until("hello"))["user_id"] == "alice"


async def test_only_get_opens_a_websocket(node: Node) -> None:
    for method in (b"POST", b"PUT", b"DELETE", b"get"):
        head = upgrade_head(headers=_with()).replace(b"GET", method, 1)
        _check(await _raw(node, head), 405, "method_not_allowed")


async def test_http_1_0_and_nonsense_as_a_version_are_refused(node: Node) -> None:
    for version in (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"ICE/1.1"):
        head = upgrade_head(headers=_with()).replace(b"HTTP/1.1", version, 1)
        _check(await _raw(node, head), 400, "invalid_request")


async def test_an_upgrade_elsewhere_is_not_found_and_ws_without_upgrade_is_426(node: Node) -> None:
    for target in ("/", "/events", "/ws/", "/WS", "/ws/../ws", "/socket.io/?EIO=4", "//ws"):
        _check(await _refused(node, target, _with()), 404, "not_found")
    answer = await node.call("alice", "GET", "/ws")
    assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
    assert answer.headers["upgrade"].lower() == "websocket"


async def test_parameters_that_make_no_sense_are_refused(node: Node) -> None:
    for target in (
        "/ws?channel_id=",
        "/ws?channel_id=0",
        "/ws?channel_id=-1",
        "/ws?channel_id=1.0",
        "/ws?channel_id=one",
        "/ws?channel_id=%D9%A1",
        "/ws?channel_id=99999999999999999999",
        "/ws?channel_id=1&channel_id=2",
        "/ws?channel_id=1&subject=storm.events",
        "/ws?subject=",
        "/ws?subject=storm.*",
        "/ws?subject=storm.>",
        "/ws?subject=storm.a%20b",
        "/ws?" + "&".join(f"a{n}=1" for n in range(40)),
    ):
        _check(await _refused(node, target, _with()), 400, "invalid_request")


async def test_a_subject_outside_the_prefix_is_forbidden(node: Node) -> None:
    for subject in ("channels.1", "nodes", "other.events", "_INBOX.1"):
        _check(await _refused(node, f"/ws?subject={subject}", _with()), 403, "forbidden")


def _jwt(header: dict[str, Any] | None = None, **claims: Any) -> str:
    now = time.time()
    return jwt.encode(
        {"sub": "alice", "iat": now, "exp": now + 60, **claims},
        SECRET,
        algorithm="HS256",
        headers=header,
    )


def _bad_tokens() -> dict[str, str]:
    return {
        "empty": "",
        "no token": "hello",
        "three dots": "a.b.c",
        "expired": token("alice", -1),
        "other secret": token("alice", secret="another secret that is long enough too"),
        "no algorithm": jwt.encode(
            {"sub": "alice", "iat": time.time(), "exp": time.time() + 60}, "", algorithm="none"
        ),
        "another algorithm": jwt.encode(
            {"sub": "alice", "iat": time.time(), "exp": time.time() + 60},
            SECRET * 2,
            algorithm="HS512",
        ),
        "no subject": _jwt(sub=None),
        "a number as subject": jwt.encode(
            {"sub": 7, "iat": time.time(), "exp": time.time() + 60}, SECRET, algorithm="HS256"
        ),
        "a subject that is no user id": _jwt(sub="a b\r\nc"),
        "no end": jwt.encode({"sub": "alice", "iat": time.time()}, SECRET, algorithm="HS256"),
        "no beginning": jwt.encode(
            {"sub": "alice", "exp": time.time() + 60}, SECRET, algorithm="HS256"
        ),
        "an end that is no number": jwt.encode(
            {"sub": "alice", "iat": time.time(), "exp": True}, SECRET, algorithm="HS256"
        ),
        "from the future": _jwt(iat=time.time() + 3600, exp=time.time() + 7200),
        "not before": _jwt(nbf=time.time() + 3600),
        "a refresh token by its type": _jwt(typ="refresh"),
        "a type made up": _jwt(typ="admin"),
        "an access token without its claims": _jwt(typ="access"),
        "crit": _jwt({"crit": ["b64"], "b64": False}),
        "jku": _jwt({"jku": "https://evil.example/keys"}),
        "jwk": _jwt({"jwk": {"kty": "oct", "k": "AAAA"}}),
        "longer than 8 KiB": _jwt(x="y" * 9000),
    }


async def test_a_bad_token_is_refused_wherever_it_stands(node: Node) -> None:
    page = {"Origin": "http://localhost:5173"}
    for name, bad in _bad_tokens().items():
        for refused in (
            await _refused(node, headers={"Authorization": f"Bearer {bad}".strip()}),
            await _refused(node, f"/ws?token={bad}"),
            await _refused(node, headers={"Cookie": f"access_token={bad}", **page}),
        ):
            assert refused.status == 401, name
            _check(refused, 401, "unauthenticated")
            assert not bad or bad not in refused.body.decode()


async def test_no_token_and_other_schemes_are_refused(node: Node) -> None:
    _check(await _refused(node), 401, "unauthenticated")
    for value in (f"Basic {token('alice')}", "Bearer", token("alice"), f"bearer{token('alice')}"):
        _check(await _refused(node, headers={"Authorization": value}), 401, "unauthenticated")
    # A bad header is not made good by a good token elsewhere.
    refused = await _refused(node, f"/ws?token={token('alice')}", {"Authorization": "Bearer x"})
    _check(refused, 401, "unauthenticated")


async def test_a_refresh_token_opens_nothing(node: Node) -> None:
    await _register(node, "rita")
    answer = await node.call(
        None, "POST", "/auth/login", json={"user_id": "rita", "password": "long enough"}
    )
    refresh = answer.cookies["refresh_token"]
    access = answer.json()["access_token"]
    node.http.cookies.clear()
    for headers in (
        {"Authorization": f"Bearer {refresh}"},
        {"Cookie": f"refresh_token={refresh}", "Origin": "http://localhost:5173"},
        {"Cookie": f"access_token={refresh}", "Origin": "http://localhost:5173"},
    ):
        _check(await _refused(node, headers=headers), 401, "unauthenticated")
    _check(await _refused(node, f"/ws?token={refresh}"), 401, "unauthenticated")
    assert await node.open(headers={"Authorization": f"Bearer {access}"})


async def _register(node: Node, user_id: str) -> None:
    await node.want(
        None, "POST", "/auth/register", json={"user_id": user_id, "password": "long enough"}
    )


async def test_a_ticket_opens_one_websocket_and_nothing_else(node: Node) -> None:
    await node.know("alice")

    async def new_ticket() -> str:
        answer = await node.want("alice", "POST", "/auth/ticket")
        assert answer["expires_in"] == 60
        ticket: str = answer["token"]
        return ticket

    ticket = await new_ticket()
    peer = await node.open(f"/ws?token={ticket}")
    assert (await peer.until("hello"))["user_id"] == "alice"
    _check(await _refused(node, f"/ws?token={ticket}"), 401, "unauthenticated")
    ticket = await new_ticket()
    misuse = [{"Authorization": f"Bearer {ticket}"}]
    misuse.append({"Cookie": f"access_token={ticket}", "Origin": "http://localhost:5173"})
    for headers in misuse:
        _check(await _refused(node, headers=headers), 401, "unauthenticated")
        answer = await node.http.get(f"{node.url}/auth/me", headers=headers)
        assert answer.status_code == 401
    # Misuse does not use it up, a refusal for another reason after it was looked at does.
    assert await node.open(f"/ws?token={ticket}")
    tickets = [await new_ticket() for _ in range(2)]
    first = await node.open(f"/ws?token={tickets[0]}", {"Origin": "http://localhost:5173"})
    assert (await first.until("hello"))["user_id"] == "alice"
    _check(
        await _refused(node, f"/ws?token={tickets[1]}", {"Origin": "https://evil.example"}),
        403,
        "forbidden",
    )


async def test_an_expired_ticket_is_refused(start_node: Start) -> None:
    node = await start_node(ticket_seconds=5)
    now = time.time()
    claims = {"sub": "alice", "sid": "s", "jti": "j", "iss": "storm", "typ": "ticket"}
    stale = jwt.encode({**claims, "iat": now - 10, "exp": now - 5}, SECRET, algorithm="HS256")
    _check(await _refused(node, f"/ws?token={stale}"), 401, "unauthenticated")


async def test_two_handshakes_with_one_ticket_at_once_are_one_connection(node: Node) -> None:
    await node.know("alice")
    ticket = (await node.want("alice", "POST", "/auth/ticket"))["token"]
    results = await asyncio.gather(
        *(node.open(f"/ws?token={ticket}") for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, Peer) for result in results) == 1
    assert sum(isinstance(result, Refused) and result.status == 401 for result in results) == 9


async def test_pages_of_other_origins_are_refused_whatever_token_they_have(
    node: Node,
) -> None:
    for origin in (
        "null",
        "https://evil.example",
        "http://localhost:5173.evil.example",
        "http://localhost:51730",
        "https://localhost:5173",
        "http://localhost",
        "http://evil.example/http://localhost:5173",
        "http://localhost:5173/",
    ):
        _check(await _refused(node, headers=_with(Origin=origin)), 403, "forbidden")
        cookie = {"Cookie": f"access_token={token('alice')}", "Origin": origin}
        _check(await _refused(node, headers=cookie), 403, "forbidden")


async def test_a_cookie_counts_only_with_an_allowed_origin(node: Node) -> None:
    cookie = {"Cookie": f"theme=dark; access_token={token('alice')}"}
    _check(await _refused(node, headers=cookie), 403, "forbidden")
    own = f"http://127.0.0.1:{node.port}"
    for origin in ("http://localhost:5173", "HTTP://LOCALHOST:5173", own):
        peer = await node.open(headers={**cookie, "Origin": origin})
        assert (await peer.until("hello"))["user_id"] == "alice"


async def test_a_second_origin_or_token_header_is_refused(node: Node) -> None:
    for name, value in (
        ("Origin", "http://localhost:5173"),
        ("Authorization", "Bearer x"),
        ("Host", "other"),
    ):
        head = upgrade_head(headers=_with(Origin="http://localhost:5173"))
        head = head[:-2] + f"{name}: {value}\r\n\r\n".encode()
        _check(await _raw(node, head), 400, "invalid_request")


async def test_a_user_has_a_bounded_number_of_connections(start_node: Start) -> None:
    node = await start_node(max_connections_per_user=3)
    peers = [await node.join("alice") for _ in range(3)]
    _check(await _refused(node, headers=_with()), 503, "limit_reached")
    assert await node.metric("storm_handshakes_refused_total", reason="user") == 1
    await node.join("bob")
    assert await peers[0].goodbye() == 1000
    assert await node.join("alice")


async def test_an_address_has_a_bounded_number_of_connections(start_node: Start) -> None:
    node = await start_node(max_connections_per_address=2)
    peers = [await node.join(name) for name in ("alice", "bob")]
    _check(await _refused(node, headers=_with()), 503, "limit_reached")
    # What a client claims is not believed without a proxy that is trusted.
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        _check(await _refused(node, headers=_with(**{header: "9.9.9.9"})), 503, "limit_reached")
    assert await node.metric("storm_handshakes_refused_total", reason="address") == 4
    assert await node.join("carol", local="127.0.0.2")
    assert await peers[0].goodbye() == 1000
    assert await node.join("dave")


async def test_behind_a_trusted_proxy_the_rightmost_untrusted_hop_counts(start_node: Start) -> None:
    node = await start_node(
        max_connections_per_address=1, trusted_proxies="127.0.0.0/8, 10.0.0.0/8"
    )
    assert await node.join("a", headers={"X-Forwarded-For": "9.9.9.9"})
    for hops in ("9.9.9.9", "1.1.1.1, 9.9.9.9", "9.9.9.9, 10.1.2.3", "8.8.8.8,9.9.9.9 , 127.0.0.9"):
        refused = await _refused(node, headers=_with(X_Forwarded_For=hops))
        _check(refused, 503, "limit_reached")
    assert await node.join("b", headers={"X-Forwarded-For": "9.9.9.9, 8.8.8.8"})
    assert await node.join("c", headers={"X-Forwarded-For": "2001:db8::1"})


async def test_a_full_node_says_when_to_come_back(start_node: Start) -> None:
    node = await start_node(max_connections=2)
    await node.join("alice")
    bob = await node.join("bob")
    _check(await _refused(node, headers=_with()), 503, "unavailable")
    assert await node.metric("storm_handshakes_refused_total", reason="full") == 1
    # It still answers requests that are no WebSockets.
    assert (await node.call(None, "GET", "/readyz")).status_code == 200
    await bob.drop()
    await node.metric_becomes("storm_active_websockets", lambda value: value == 1)
    assert await node.join("carol")


async def test_handshakes_a_second_are_bounded(start_node: Start) -> None:
    node = await start_node(handshakes_per_second=2)
    results = await asyncio.gather(
        *(node.join(f"user{n}") for n in range(20)), return_exceptions=True
    )
    refusals = [result for result in results if isinstance(result, Refused)]
    assert 10 <= len(refusals) < 20
    for refused in refusals:
        _check(refused, 503, "unavailable")
    assert await node.metric("storm_handshakes_refused_total", reason="rate") == len(refusals)


async def test_headers_beyond_the_bound_are_431(node: Node) -> None:
    _check(
        await _raw(node, upgrade_head(headers=_with(X_Big="x" * 17_000))), 431, "invalid_request"
    )
    many = {f"X-Header-{n}": "1" for n in range(130)}
    _check(await _raw(node, upgrade_head(headers={**_with(), **many})), 431, "invalid_request")
    head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Big: " + b"x" * 17_000 + b"\r\n\r\n"
    _check(await _raw(node, head), 431, "invalid_request")


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("where", ["header", "many headers", "url", "before a body"])
async def test_headers_beyond_the_bound_are_431_on_a_kept_connection_too(
    node: Node, where: str, pieces: int
) -> None:
    big = {
        "header": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Big: " + b"x" * 17_000 + b"\r\n\r\n",
        "many headers": b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
        + b"".join(b"X-Header-%d: %s\r\n" % (n, b"x" * 120) for n in range(140))
        + b"\r\n",
        "url": b"GET /healthz?" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        "before a body": b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-Big: "
        + b"x" * 17_000
        + b"\r\n\r\n{...}",
    }[where]
    peer = await node.tcp()
    for _ in range(3):
        peer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await read_answer(peer.reader))[0] == 200
    for index in range(pieces):
        peer.write(big[index * len(big) // pieces : (index + 1) * len(big) // pieces])
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        _check(Refused(*await read_answer(peer.reader)), 431, "invalid_request")
        await peer.ended()
    assert await node.metric("storm_requests_refused_total", status="431") == 1


async def test_a_large_body_is_no_large_head(node: Node) -> None:
    peer = await node.tcp()
    body = b'{"user_id": "' + b"x" * 20_000 + b'", "password": "long enough"}'
    head = b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    for _ in range(2):
        peer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (await read_answer(peer.reader))[0] in (400, 401, 422)


async def test_a_head_that_does_not_come_in_time_is_408(start_node: Start) -> None:
    node = await start_node(header_seconds=1)
    began = time.monotonic()
    for half in (b"", b"GET", b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"):
        _check(await _raw(node, half), 408, "invalid_request")
    assert time.monotonic() - began < 15
    assert await node.metric("storm_requests_refused_total", status="408") == 3


async def test_a_head_that_is_no_http_is_400(node: Node) -> None:
    for head in (
        b"GET /ws\r\nUpgrade: websocket\r\n\r\n",
        b"GET  /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        b"GET http://evil/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        b"GET /ws#x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost : a\r\nUpgrade: websocket\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\n folded\r\nUpgrade: websocket\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nX: a\x00b\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nX: a\nb\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n: nameless\r\n\r\n",
        b"\x16\x03\x01\x02\x00 tls?\r\nUpgrade: websocket\r\n\r\n",
    ):
        _check(await _raw(node, head), 400, "invalid_request")


async def test_an_upgrade_on_a_kept_http_connection_obeys_the_same_rules(node: Node) -> None:
    for headers, status in ((_with(), 101), (_with(Authorization="Bearer x"), 401)):
        peer = await node.tcp()
        peer.write(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\n\r\n".encode())
        answer, _, body = await read_answer(peer.reader)
        assert (answer, body) == (200, b"ok")
        head = upgrade_head("/ws?channel_id=1", headers, host=f"127.0.0.1:{node.port}")
        if status == 101:
            await peer.upgrade(head)
            await peer.until("subscribed")
            await peer.say(1, "by the other way in")
            assert (await peer.until("message"))["payload"] == "by the other way in"
        else:
            with pytest.raises(Refused) as caught:
                await peer.upgrade(head)
            _check(caught.value, status, "unauthenticated")


async def test_frames_sent_together_with_the_handshake_are_read(node: Node) -> None:
    peer = await node.tcp()
    command = frame(TEXT, json.dumps({"type": "ping", "ref": "early"}).encode())
    head = upgrade_head(headers=_with(), host=f"127.0.0.1:{node.port}")
    await peer.upgrade(head + command)
    assert (await peer.until("pong"))["ref"] == "early"
    assert peer.events[0]["type"] == "hello"


async def test_a_deleted_user_s_token_opens_nothing(node: Node) -> None:
    await node.know("mallory")
    await node.want("mallory", "DELETE", "/auth/me")
    _check(
        await _refused(node, headers={"Authorization": f"Bearer {token('mallory')}"}),
        401,
        "unauthenticated",
    )


async def test_refusals_are_counted(node: Node) -> None:
    await _refused(node)
    assert await node.metric("storm_handshakes_refused_total", reason="unauthenticated") == 1
