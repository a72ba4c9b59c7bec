"""Hostile input: bounded, answered with the right code, and of no effect on others."""
# ruff: noqa: ASYNC110 what is left behind is watched from outside

import asyncio
import json
import statistics
import struct
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest
from harness import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Node,
    Peer,
    Process,
    Refused,
    all_of,
    frame,
    read_answer,
    token,
    upgrade_head,
)

Start = Callable[..., Awaitable[Node]]
FRAME_BYTES = 64 * 1024


async def _others_are_served(node: Node) -> None:
    peer = await node.join("bystander", "/ws?channel_id=1")
    await peer.say(1, "undisturbed")
    await peer.until("message", payload="undisturbed")
    await peer.drop()


# --- slow and large requests (S4, S5) ---


async def test_slow_heads_end_at_the_deadline_and_hold_nobody_up(start_node: Start) -> None:
    node = await start_node(header_seconds=2)
    head = upgrade_head(headers={"Authorization": f"Bearer {token('alice')}"})

    async def dribble(start: bytes) -> tuple[int, float]:
        peer = await node.tcp()
        peer.write(start)
        began = time.monotonic()
        answer = asyncio.create_task(read_answer(peer.reader))
        try:
            for index in range(len(start), len(head)):
                if answer.done():
                    break
                peer.write(head[index : index + 1])
                await asyncio.wait([answer], timeout=0.2)
        except ConnectionError:
            pass
        status, _, _ = await answer
        return status, time.monotonic() - began

    async with asyncio.timeout(30):
        *answers, _ = await all_of(
            *(dribble(head[:n]) for n in (0, 1, 4, 20) for _ in range(25)),
            _others_are_served(node),
        )
        for status, seconds in answers:
            assert status == 408
            assert seconds < 10
    assert not node.gateway.edge.waiting


async def test_a_slow_head_on_a_kept_connection_and_a_slow_body_end_too(start_node: Start) -> None:
    node = await start_node(header_seconds=1, body_seconds=1)
    ok = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\n\r\n".encode()
    kept = await node.tcp()
    kept.write(ok)
    assert (await read_answer(kept.reader))[0] == 200
    kept.write(b"GET /he")
    await kept.ended()
    slow = await node.tcp()
    slow.write(
        f"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
    )
    assert (await read_answer(slow.reader))[0] in (400, 408)


async def test_a_header_of_four_megabytes_is_431_without_being_kept(node: Node) -> None:
    peer = await node.tcp()
    peer.write(b"GET /ws HTTP/1.1\r\nHost: a\r\nX: ")
    try:
        for _ in range(64):
            peer.write(b"x" * 65_536)
            await peer.writer.drain()
    except ConnectionError:
        pass  # it does not even read them all
    try:
        status, _, _ = await read_answer(peer.reader)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # cut with our bytes unread: the answer may be lost with them
    else:
        assert status == 431
    await _others_are_served(node)


async def test_a_body_beyond_the_bound_is_413_claimed_or_counted(node: Node) -> None:
    await node.know("alice")
    head = (
        f"POST /publish HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\n"
        f"Authorization: Bearer {token('alice')}\r\n"
    )
    claimed = await node.tcp()
    claimed.write(f"{head}Content-Length: 99999999999999999999\r\n\r\n".encode())
    assert (await read_answer(claimed.reader))[0] in (400, 413)
    claimed = await node.tcp()
    claimed.write(f"{head}Content-Length: {2**20 + 1}\r\n\r\n".encode())
    assert (await read_answer(claimed.reader))[0] == 413
    counted = await node.tcp()
    counted.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    with_size = b"%x\r\n" % 65_536 + b"x" * 65_536 + b"\r\n"
    try:
        for _ in range(20):
            counted.write(with_size)
            await counted.writer.drain()
    except ConnectionError:
        pass
    assert (await read_answer(counted.reader))[0] == 413


@pytest.mark.parametrize("framing", ["Content-Length: 4000000", "Transfer-Encoding: chunked"])
async def test_who_still_writes_a_refused_body_writes_it_whole_and_hears_why(
    node: Node, framing: str
) -> None:
    peer = await node.tcp()
    peer.write(f"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\n{framing}\r\n\r\n".encode())
    piece = b"x" * 40_000
    if "chunked" in framing:
        piece = b"%x\r\n%b\r\n" % (len(piece), piece)
    for _ in range(100):
        peer.write(piece)
        await peer.writer.drain()
        await asyncio.sleep(0.001)
    if "chunked" in framing:
        peer.write(b"0\r\n\r\n")
    status, headers, _ = await read_answer(peer.reader)
    assert (status, headers["connection"]) == (413, "close")
    assert await peer.reader.read() == b""


async def test_who_asks_before_a_body_that_is_too_long_is_not_told_to_go_on(node: Node) -> None:
    peer = await node.tcp()
    peer.write(
        b"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4000000\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    assert (await read_answer(peer.reader))[0] == 413


# --- frames (S6, S7, S8, S9) ---


async def _ends_with(node: Node, data: bytes, code: int) -> None:
    peer = await node.join("mallory")
    peer.write(data)
    assert (await peer.closed()).code == code


async def test_frames_and_messages_beyond_the_bound_end_with_1009(node: Node) -> None:
    await _ends_with(node, frame(TEXT, b"x" * (FRAME_BYTES + 1)), 1009)
    # All fragments together, however small.
    piece = frame(0, b"x" * 10, fin=False)
    await _ends_with(node, frame(TEXT, b"x", fin=False) + piece * 10_000, 1009)
    half = b"x" * (FRAME_BYTES // 2 + 1)
    await _ends_with(node, frame(TEXT, half, fin=False) + frame(0, half), 1009)
    # The claim is enough; the bytes need not come.
    for size in (FRAME_BYTES + 1, 2**32, 2**63 - 1):
        await _ends_with(node, struct.pack("!BBQ", 0x81, 0xFF, size) + b"mask", 1009)
    await _ends_with(node, struct.pack("!BBQ", 0x81, 0xFF, 2**63) + b"mask", 1002)
    await _others_are_served(node)


async def test_a_message_of_exactly_the_bound_is_read(node: Node) -> None:
    peer = await node.join("alice")
    text = b'{"type":"ping","ref":"big"}'
    for data in (
        frame(TEXT, text + b" " * (FRAME_BYTES - len(text))),
        frame(TEXT, text, fin=False) + frame(0, b" " * (FRAME_BYTES - len(text))),
    ):
        peer.write(data)
        assert (await peer.until("pong"))["ref"] == "big"


async def test_what_breaks_the_rfc_ends_with_1002_or_1007(node: Node) -> None:
    ping = b'{"type":"ping"}'
    for data, code in (
        (frame(TEXT, ping, rsv=4), 1002),  # as if compression had been agreed on
        (frame(TEXT, ping, rsv=2), 1002),
        (frame(TEXT, ping, masked=False), 1002),
        (frame(3, ping), 1002),
        (frame(11, b""), 1002),
        (frame(PING, b"", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(0, ping), 1002),
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(CLOSE, struct.pack("!H", 999)), 1002),
        (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xe2\x82", fin=False) + frame(0, b"x"), 1007),
    ):
        await _ends_with(node, data, code)
        # The same in single bytes.
        peer = await node.join("mallory")
        for index in range(len(data)):
            peer.write(data[index : index + 1])
            await peer.writer.drain()
        assert (await peer.closed()).code == code


async def test_compression_is_not_agreed_on_although_it_is_offered(node: Node) -> None:
    peer = await node.join(
        "alice", headers={"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    )
    assert "sec-websocket-extensions" not in peer.headers
    peer.write(frame(TEXT, bytes.fromhex("ab562aa92c4855b25252caccc97400"), rsv=4))
    assert (await peer.closed()).code == 1002


async def test_only_the_subprotocol_that_is_spoken_is_chosen(node: Node) -> None:
    for offered, chosen in (("storm.v1", "storm.v1"), ("mqtt, storm.v1", "storm.v1"), ("x", None)):
        peer = await node.join("alice", headers={"Sec-WebSocket-Protocol": offered})
        assert peer.headers.get("sec-websocket-protocol") == chosen


async def test_floods_of_control_and_empty_frames_are_bounded(start_node: Start) -> None:
    node = await start_node(commands_per_second=20, commands_burst=60)
    await _ends_with(node, frame(PING, b"x" * 100) * 5_000, 4003)
    await _ends_with(node, frame(PONG, b"") * 5_000, 4003)
    await _ends_with(node, frame(TEXT, b"") * 5_000, 4003)
    # Fragments without content never reach the bound on bytes.
    flood = frame(TEXT, b"", fin=False) + frame(0, b"", fin=False) * 20_000
    await _ends_with(node, flood, 1009)
    await _others_are_served(node)


async def test_pings_between_fragments_do_not_get_round_the_bounds(start_node: Start) -> None:
    node = await start_node(commands_per_second=20, commands_burst=60)
    peer = await node.join("mallory")
    mixed = (frame(0, b"", fin=False) + frame(PING, b"")) * 5_000
    peer.write(frame(TEXT, b"", fin=False) + mixed)
    assert (await peer.closed()).code == 4003


async def test_a_flood_of_pings_from_one_does_not_delay_another(start_node: Start) -> None:
    node = await start_node(commands_per_second=20, commands_burst=60)
    victim = await node.join("alice", "/ws?channel_id=1")

    async def flood(number: int) -> int:
        peer = await node.join(f"mallory{number}")
        try:
            for _ in range(200):
                peer.write(frame(PING, b"x" * 125) * 100)
                await peer.writer.drain()
        except ConnectionError:
            pass
        return (await peer.closed()).code

    floods = asyncio.create_task(all_of(*(flood(number) for number in range(8))))
    times = []
    for _ in range(3):
        began = time.monotonic()
        await victim.say(1, "still here")
        times.append(time.monotonic() - began)
    assert max(times) < 5
    assert set(await floods) <= {4003, 1006}


# --- floods of connections, addresses, hosts (S11, S12, S16) ---


async def test_a_flood_of_connections_meets_503_and_leaves_the_node_alive(
    start_node: Start,
) -> None:
    node = await start_node(max_connections=50, max_connections_per_user=0)
    results = await asyncio.gather(
        *(node.join(f"flood{n}") for n in range(300)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, Refused)]
    assert sum(isinstance(result, Peer) for result in results) == 50
    assert len(refused) == 250
    assert {(r.status, r.json()["code"]) for r in refused} == {(503, "unavailable")}
    assert (await node.call(None, "GET", "/readyz")).status_code == 200
    assert await node.metric("storm_handshakes_refused_total") == 250


async def test_connections_that_say_nothing_are_bounded_too(start_node: Start) -> None:
    node = await start_node(max_connections=10, header_seconds=3)
    silent = [await node.tcp() for _ in range(400)]
    await all_of(*(peer.ended(20) for peer in silent))
    await _others_are_served(node)


async def test_the_login_limit_counts_the_real_address(start_node: Start) -> None:
    node = await start_node(auth_rate_limit_enabled=True)
    wrong = {"user_id": "nobody", "password": "wrong password"}
    statuses = []
    for number in range(8):
        answer = await node.call(
            None,
            "POST",
            "/auth/login",
            json=wrong,
            headers={"X-Forwarded-For": f"10.0.0.{number}", "Forwarded": f"for=10.0.0.{number}"},
        )
        statuses.append(answer.status_code)
    assert statuses[:3] == [401] * 3
    assert statuses[3:] == [429] * 5
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "rate_limited"
    assert await node.metric("storm_auth_rate_limited_total") == 5


async def test_a_forged_host_is_refused_and_changes_no_path(node: Node) -> None:
    for host in ("evil/../ws", "a b", "a@b", "evil.example#", "a\\b", "[::1", "?", "a,b"):
        peer = await node.tcp()
        peer.write(f"GET /auth/me HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        status, _, body = await read_answer(peer.reader)
        assert status == 400, host
        assert json.loads(body)["code"] == "invalid_request"
    for target in ("//evil.example/healthz", "/%2e%2e/healthz", "/healthz/", "/HEALTHZ"):
        answer = await node.http.get(node.url + target)
        assert answer.status_code == 404, target
    two = await node.tcp()
    two.write(b"GET /auth/me HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert (await read_answer(two.reader))[0] == 400
    # A page of another site with a Host of its own making is still another site.
    with pytest.raises(Refused) as caught:
        await node.open(
            headers={"Cookie": f"access_token={token('alice')}", "Origin": "http://evil.example"},
            host=f"127.0.0.1:{node.port}",
        )
    assert caught.value.status == 403


async def test_request_smuggling_shapes_are_refused(node: Node) -> None:
    host = f"Host: 127.0.0.1:{node.port}\r\n"
    smuggled = "GET /channels HTTP/1.1\r\n" + host + "\r\n"
    for headers in (
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ):
        peer = await node.tcp()
        peer.write(f"POST /auth/login HTTP/1.1\r\n{host}{headers}\r\n0\r\n\r\n{smuggled}".encode())
        status, _, _ = await read_answer(peer.reader)
        assert 400 <= status < 500, headers


# --- what the log and the answers tell (S2, S15, S19) ---


async def test_log_lines_stay_lines_and_no_token_is_ever_printed(
    start_process: Callable[..., Awaitable[Process]],
) -> None:
    node = await start_process(log_level="debug", auth_rate_limit_enabled=False)
    evil = 'x\r\n{"event": "forged"}\x1b[31m\u2028\u0085forged'
    secrets = [token("alice"), "a password that nobody may read"]
    await node.want(
        None, "POST", "/auth/register", json={"user_id": "rita", "password": secrets[1]}
    )
    answer = await node.call(
        None, "POST", "/auth/login", json={"user_id": "rita", "password": secrets[1]}
    )
    secrets += [answer.json()["access_token"], answer.cookies["refresh_token"]]
    node.http.cookies.clear()
    bearer = {"Authorization": f"Bearer {secrets[2]}"}
    ticket = (await node.want(None, "POST", "/auth/ticket", headers=bearer))["token"]
    secrets.append(ticket)
    peer = await node.open(f"/ws?token={ticket}&channel_id=1")
    await peer.until("subscribed")
    for target in (f"/ws?token={ticket}", f"/ws?token={secrets[0]}x", f"/nowhere?token={ticket}"):
        with pytest.raises(Refused):
            await node.open(target)
        await node.http.get(node.url + target)
    await peer.ask("authenticate", token=secrets[0])
    for payload in (evil, *secrets):
        await peer.ask("message", channel_id=1, payload=payload)
    peer.write(frame(TEXT, evil.encode()))
    peer.write(frame(CLOSE, struct.pack("!H", 1000) + evil.encode()[:60]))
    await peer.closed()
    for path in (
        f"/channels/{quote(evil)}",
        f"/users/{quote(evil)}",
        f"/publish?subject={quote(evil)}",
    ):
        await node.call(None, "GET", path, headers=bearer)
        await node.call(None, "POST", path, headers={**bearer, "User-Agent": "x\x1b[31mforged"})
    for field in ("user_id", "display_name", "name", "password"):
        body = {"user_id": "u", "password": "long enough", "name": "n", field: evil}
        for path in ("/auth/register", "/auth/login", "/channels"):
            await node.call(None, "POST", path, json=body, headers=bearer)
    node.terminate()
    assert await node.exit_status() == 0
    log = node.log
    assert log.strip()
    for line in log.splitlines():
        event = json.loads(line)
        assert not event["event"].startswith("forged")
    for secret in secrets:
        assert secret not in log
        assert secret.rpartition(".")[2] not in log  # nor its signature alone
    assert "\x1b" not in log
    assert "\u2028" not in log


async def test_a_login_does_not_tell_whether_a_user_exists(node: Node) -> None:
    await node.want(
        None, "POST", "/auth/register", json={"user_id": "rita", "password": "long enough"}
    )
    answers = {}
    times: dict[str, list[float]] = {"rita": [], "nobody": [], "no user id at all": []}
    for _ in range(7):
        for user_id, seconds in times.items():
            # Processor time of the node, which is in this process: other tests take none of it.
            began = time.process_time()
            answer = await node.call(
                None, "POST", "/auth/login", json={"user_id": user_id, "password": "wrong one"}
            )
            seconds.append(time.process_time() - began)
            answers[user_id] = (answer.status_code, answer.content)
    assert set(answers.values()) == {answers["rita"]}
    assert answers["rita"][0] == 401
    fastest = {user_id: min(seconds) for user_id, seconds in times.items()}
    middle = statistics.median(fastest.values())
    # The same work: without it the answer would come ten times as fast.
    assert all(middle / 3 < value < middle * 3 for value in fastest.values()), fastest


async def test_no_answer_shows_what_is_inside(node: Node) -> None:
    for method, path, options in (
        ("GET", "/channels/9223372036854775808/messages", {}),
        ("GET", "/channels/1/messages?limit=1e9", {}),
        ("GET", "/channels/1/messages?before='; DROP TABLE messages;--", {}),
        ("GET", "/users/%00", {}),
        ("GET", "/users/..%2f..%2fetc%2fpasswd", {}),
        ("POST", "/channels", {"content": b"\xff\xfe{"}),
        ("POST", "/channels", {"json": {"name": {"$gt": ""}}}),
        ("POST", "/channels", {"json": [1] * 1000}),
        ("POST", "/channels", {"content": b"[" * 100_000}),
        ("POST", "/channels/1/messages", {"content": b"\xff\xfe"}),
        ("POST", "/channels/1/messages", {"json": {"payload": "\x00"}}),
        ("PATCH", "/auth/me", {"json": {"display_name": "a\u202eb"}}),
        ("TRACE", "/channels", {}),
        ("GET", "/channels/1/presence/..%2f..%2f..%2fauth%2fme", {}),
    ):
        answer = await node.call("alice", method, path, **options)
        assert 400 <= answer.status_code < 500, f"{method} {path}: {answer.status_code}"
        body = answer.json()
        assert set(body) >= {"code", "message"}, body
        for internal in ("Traceback", "sqlite", "sqlalchemy", "storm_gateway", "pydantic"):
            assert internal not in answer.text, answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_thousands_of_half_open_and_torn_connections_leave_nothing_behind(
    node: Node,
) -> None:
    async def tear(number: int) -> None:
        peer = await node.tcp()
        head = upgrade_head("/ws?channel_id=1", {"Authorization": f"Bearer {token('alice')}"})
        peer.write(head[: number % len(head)] if number % 3 else head + b"\x81")
        if number % 2:
            await asyncio.sleep(0)
        await peer.drop()

    for start in range(0, 600, 100):
        await all_of(*(tear(number) for number in range(start, start + 100)))
    await node.metric_becomes("storm_active_websockets", lambda value: value == 0)
    await node.metric_becomes("storm_subscriptions", lambda value: value == 0)
    # Long before the deadline of their heads would have swept them away.
    async with asyncio.timeout(5):
        while node.gateway.edge.waiting or node.gateway.edge.closing:
            await asyncio.sleep(0.01)
    await _others_are_served(node)


async def test_a_client_that_sends_and_never_reads_is_not_read_for_ever(start_node: Start) -> None:
    node = await start_node(outbox_ephemeral_bytes=16 * 1024, outbox_close_bytes=128 * 1024)
    peer = await node.open(
        headers={"Authorization": f"Bearer {token('mallory')}"}, receive_buffer=4096
    )
    ping = json.dumps({"type": "ping", "ref": "x" * 64}).encode()
    try:
        async with asyncio.timeout(30):
            while node.gateway.edge.slow_consumers == 0:
                peer.write(frame(TEXT, ping) * 1000)
                await peer.writer.drain()
                await asyncio.sleep(0)
    except ConnectionError:
        pass
    assert node.gateway.edge.slow_consumers == 1
    assert (await peer.closed()).code in (4001, 1006)
    await _others_are_served(node)
