"""What holds for every answer of the API, and the routes that are not about chat."""

import logging
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from api_node import ORIGIN, PASSWORD, Api, refusal

from storm_gateway.api import docs
from storm_gateway.api.middleware import SECURITY_HEADERS
from storm_gateway.bus.base import StreamEvent
from storm_gateway.errors import UnavailableError


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    api = Api(tmp_path)
    await api.start()
    yield api
    await api.stop()


EVERYTHING: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/healthz", {}, 200),
    ("GET", "/readyz", {}, 200),
    ("GET", "/ping-nats", {}, 200),
    ("GET", "/metrics", {}, 200),
    ("GET", "/openapi.json", {}, 200),
    ("GET", "/docs", {}, 200),
    ("GET", "/channels", {}, 401),
    ("GET", "/nowhere", {}, 404),
    ("GET", "/channels/", {}, 404),
    ("GET", "/events", {}, 404),
    ("GET", "/ws", {}, 426),
    ("PUT", "/channels", {}, 405),
    ("POST", "/auth/register", {"json": {}}, 400),
    ("POST", "/auth/register", {"content": b"x" * 1_100_000}, 413),
    ("GET", "/healthz", {"headers": {"Host": "evil.example/path"}}, 400),
    (
        "OPTIONS",
        "/channels",
        {"headers": {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}},
        200,
    ),
    (
        "OPTIONS",
        "/channels",
        {"headers": {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}},
        403,
    ),
]


@pytest.mark.parametrize(("method", "path", "more", "status"), EVERYTHING)
async def test_the_security_headers_are_on_every_answer(
    api: Api, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    answer = await api.client().request(method, path, **more)
    assert answer.status_code == status
    for name, value in SECURITY_HEADERS.items():
        if path != "/docs" or name != "Content-Security-Policy":
            assert answer.headers[name] == value, name
    assert "strict-transport-security" not in answer.headers
    if status >= 400:
        refusal(answer)


async def test_a_fault_of_ours_tells_the_client_nothing_and_the_log_all(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fault(_: str) -> None:
        raise RuntimeError("the database password is hunter2")

    client = await api.user("alice")
    monkeypatch.setattr(api.store.channels, "visible_to", fault)
    with caplog.at_level(logging.ERROR):
        answer = await client.get("/channels", headers={"Origin": ORIGIN})
    assert refusal(answer) == (500, "internal")
    assert "hunter2" not in answer.text
    assert "hunter2" in caplog.text
    assert "/channels" in caplog.text
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_a_store_that_is_away_is_a_503_with_retry_after(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: str) -> None:
        raise UnavailableError("The store is away.", retry_after_ms=2_500)

    client = await api.user("alice")
    monkeypatch.setattr(api.store.channels, "visible_to", away)
    answer = await client.get("/channels")
    assert refusal(answer) == (503, "unavailable")
    assert answer.headers["retry-after"] == "3"
    assert answer.json()["retry_after_ms"] == 2_500


async def test_unknown_paths_and_methods_are_json(api: Api) -> None:
    client = api.client()
    assert refusal(await client.get("/nowhere")) == (404, "not_found")
    answer = await client.put("/channels")
    assert refusal(answer) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("accept", ["*/*", "text/event-stream", "text/html"])
async def test_server_sent_events_are_gone_whatever_is_accepted(
    api: Api, method: str, accept: str
) -> None:
    answer = await api.client().request(method, "/events", headers={"Accept": accept})
    assert refusal(answer) == (404, "not_found") if method != "HEAD" else True
    assert answer.status_code == 404


async def test_the_websocket_address_asks_for_an_upgrade(api: Api) -> None:
    answer = await api.client().get("/ws", params={"channel_id": 1})
    assert refusal(answer) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"


# --- CORS ---


async def test_an_allowed_origin_may_do_all_methods_with_cookies(api: Api) -> None:
    client = api.client()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = await client.options(
            "/channels/1",
            headers={
                "Origin": ORIGIN,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization, content-type",
            },
        )
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-credentials"] == "true"
    answer = await client.get("/channels", headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", ORIGIN + ".evil.example", "http://localhost"]
)
async def test_other_origins_may_not_read(api: Api, origin: str) -> None:
    client = api.client()
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    assert refusal(await client.options("/channels", headers=asked)) == (403, "forbidden")
    answer = await client.get("/channels", headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers


async def test_several_origins_may_be_configured(tmp_path: Path) -> None:
    api = Api(tmp_path, cors_origins="https://a.example, https://b.example")
    await api.start()
    for origin in ("https://a.example", "https://b.example"):
        answer = await api.client().get("/healthz", headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
    await api.stop()


# --- HTTPS, hosts, sizes ---


async def test_strict_transport_security_is_said_behind_https_only(tmp_path: Path) -> None:
    api = Api(tmp_path, trusted_proxies="10.0.0.1")
    await api.start()
    header = "strict-transport-security"
    said = {"X-Forwarded-Proto": "https"}
    secure = api.client(base_url="https://storm.example")
    assert header in (await secure.get("/healthz")).headers
    assert header in (await api.client("10.0.0.1").get("/healthz", headers=said)).headers
    assert header not in (await api.client("10.0.0.2").get("/healthz", headers=said)).headers
    plain = {"X-Forwarded-Proto": "https, http"}
    assert header not in (await api.client("10.0.0.1").get("/healthz", headers=plain)).headers
    assert header not in (await api.client("10.0.0.1").get("/healthz")).headers
    await api.stop()


@pytest.mark.parametrize(
    "host",
    ["a b", "a/b", "a?b", "a#b", "a@b", "evil.example/healthz?", "[::1", "a:b", "a:1:2", "é", ""],
)
async def test_a_malformed_host_is_a_400(api: Api, host: str) -> None:
    answer = await api.client().get("/healthz", headers={"Host": host.encode()})
    assert refusal(answer) == (400, "invalid_request")


@pytest.mark.parametrize("host", ["storm.example", "127.0.0.1:8080", "[::1]:8080", "a_b-c"])
async def test_a_proper_host_is_fine(api: Api, host: str) -> None:
    assert (await api.client().get("/healthz", headers={"Host": host})).status_code == 200


async def test_two_hosts_are_a_400(api: Api) -> None:
    headers = [("Host", "a.example"), ("Host", "b.example")]
    answer = await api.client().get("/healthz", headers=headers)
    assert refusal(answer) == (400, "invalid_request")


async def test_a_body_beyond_the_bound_is_a_413(tmp_path: Path) -> None:
    api = Api(tmp_path, body_bytes=2_000)
    await api.start()
    client = await api.user("alice")

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    for path in ("/auth/register", "/publish", "/channels/1/messages"):
        whole = await client.post(path, content=b"x" * 2_001)
        assert refusal(whole) == (413, "payload_too_large")
        assert whole.headers["connection"] == "close"
        parts = await client.post(path, content=trickle())
        assert refusal(parts) == (413, "payload_too_large")
    lie = {"Content-Length": "9" * 30}
    assert refusal(await client.post("/publish", headers=lie)) == (413, "payload_too_large")
    assert (await client.post("/publish", content=b"x" * 2_000)).status_code == 202
    await api.stop()


async def test_a_body_that_never_ends_is_a_400(tmp_path: Path) -> None:
    import asyncio

    api = Api(tmp_path, body_seconds=0.05)
    await api.start()
    client = await api.user("alice")
    never = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"x"
        await never.wait()

    answer = await client.post("/publish", content=stalled())
    assert refusal(answer) == (400, "invalid_request")
    assert "seconds" in answer.json()["message"]
    await api.stop()


# --- health and metrics ---


async def test_health_is_text(api: Api) -> None:
    answer = await api.client().get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"].startswith("text/plain")


async def test_ready_says_why_not(api: Api) -> None:
    answer = await api.client().get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"reasons": []})
    api.reasons = ["draining"]
    answer = await api.client().get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"reasons": ["draining"]})
    assert answer.headers["retry-after"] == "1"


async def test_ping_nats_tells_of_the_bus(api: Api) -> None:
    answer = await api.client().get("/ping-nats")
    assert (answer.status_code, answer.text) == (200, "nats ok")
    api.bus_connected = False
    assert refusal(await api.client().get("/ping-nats")) == (503, "unavailable")


async def test_metrics_are_in_prometheus_format(api: Api) -> None:
    client = await api.user("alice")
    await client.post("/channels/1/messages", json={"payload": "counted"})
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for name in (
        "storm_active_websockets 0.0",
        "storm_auth_rate_limited_total 0.0",
        "storm_nats_publish_duration_seconds_count 1.0",
        "storm_messages_total 1.0",
        "storm_save_queue_length",
    ):
        assert name in answer.text


# --- event streams ---


async def test_an_event_is_published_to_its_subject(api: Api) -> None:
    client = await api.user("alice")
    heard = await api.listen("storm.events")
    answer = await client.post("/publish", json={"a": 1.50, "big": 12345678901234567890})
    assert (answer.status_code, answer.text) == (202, "published")
    await client.post("/publish", params={"subject": "storm.events"}, content="text")
    bodies = [event.body for event in heard if isinstance(event, StreamEvent)]
    assert b'"subject":"storm.events"' in bodies[0]
    assert b'"payload":{"a":1.5,"big":12345678901234567890}' in bodies[0]
    assert b'"payload":"text"' in bodies[1]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("storm.a-b_C.9", (202, None)),
        ("channels.1", (403, "forbidden")),
        ("nodes", (403, "forbidden")),
        ("stormy.events", (403, "forbidden")),
        ("", (400, "invalid_request")),
        ("storm.", (400, "invalid_request")),
        ("storm..x", (400, "invalid_request")),
        ("storm.*", (400, "invalid_request")),
        ("storm.>", (400, "invalid_request")),
        ("storm.a b", (400, "invalid_request")),
        ("storm.é", (400, "invalid_request")),
        ("storm.x\n", (400, "invalid_request")),
        ("storm." + "x" * 250, (400, "invalid_request")),
    ],
)
async def test_only_subjects_of_streams_are_published_to(
    api: Api, subject: str, expected: tuple[int, str | None]
) -> None:
    client = await api.user("alice")
    answer = await client.post("/publish", params={"subject": subject}, content="x")
    if expected[1] is None:
        assert answer.status_code == expected[0]
    else:
        assert refusal(answer) == expected


async def test_what_is_not_what_it_says_is_not_published(api: Api) -> None:
    client = await api.user("alice")
    for content, kind in (
        (b"{", "application/json"),
        (b"NaN", "application/json"),
        (b'"\\ud800"', "application/cloudevents+json; charset=utf-8"),
        (b"\xff", "text/plain"),
        (b"\xff", ""),
        (b"", "application/json"),
    ):
        answer = await client.post("/publish", content=content, headers={"content-type": kind})
        assert refusal(answer) == (400, "invalid_request"), (content, kind)
    assert refusal(await api.client().post("/publish", content="x")) == (401, "unauthenticated")


# --- the document and its page ---


CONTRACT = {
    f"{method} {path}"
    for path, methods in {
        "/healthz": "GET",
        "/readyz": "GET",
        "/ping-nats": "GET",
        "/metrics": "GET",
        "/auth/register": "POST",
        "/auth/login": "POST",
        "/auth/refresh": "POST",
        "/auth/logout": "POST",
        "/auth/me": "GET PATCH DELETE",
        "/auth/ticket": "POST",
        "/channels": "GET POST",
        "/channels/{channel_id}/messages": "GET POST",
        "/channels/{channel_id}/messages/{message_id}/read": "POST",
        "/users": "GET POST",
        "/users/{user_id}": "GET PATCH DELETE",
        "/publish": "POST",
    }.items()
    for method in methods.split()
}


async def test_the_document_names_every_route_and_its_refusals(api: Api) -> None:
    document = (await api.client().get("/openapi.json")).json()
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)
    assert operations.keys() >= CONTRACT
    for name, operation in operations.items():
        assert "422" not in operation["responses"], name
        assert operation["tags"], name
        assert operation["description"].strip(), name
        if operation.get("security"):
            assert "401" in operation["responses"], name
    assert "HTTPValidationError" not in document["components"]["schemas"]


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


async def test_the_page_of_the_document_works_under_its_own_policy(api: Api) -> None:
    answer = await api.client().get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert docs._HASH in policy
    page = Page()
    page.feed(answer.text)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "form"}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert str(attributes.get("href", "#")).startswith(("#", "/openapi.json"))
    document = (await api.client().get("/openapi.json")).json()
    for path in document["paths"]:
        assert path in answer.text
    anchors = {attributes.get("id") for _, attributes in page.tags}
    links = {a["href"] for tag, a in page.tags if tag == "a" and a["href"] != "/openapi.json"}
    assert all(str(link)[1:] in anchors for link in links)


def test_the_page_escapes_what_the_document_says() -> None:
    document: dict[str, Any] = {
        "info": {"title": "<b>", "version": "1", "description": "a `<i>` b"},
        "tags": [],
        "paths": {},
        "components": {"schemas": {"<x>": {"properties": {"a": {}}}}},
    }
    page = docs.render(document)
    assert "<b>" not in page.replace("<summary><b>", "")
    assert "<code>&lt;i&gt;</code>" in page
    assert "<x>" not in page


async def test_changes_have_the_pace_of_a_connection(tmp_path: Path) -> None:
    api = Api(tmp_path, commands_per_second=0.1, commands_burst=3)
    await api.start()
    alice, bob = await api.user("alice"), await api.user("bob")
    statuses = [
        (await alice.post("/channels/1/messages", content="x")).status_code for _ in range(4)
    ]
    assert statuses == [201, 201, 201, 429]
    answer = await alice.post("/channels", json={"name": "x"})
    assert refusal(answer) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) <= 10
    assert (await alice.get("/channels/1/messages")).status_code == 200
    assert (await bob.post("/channels/1/messages", content="x")).status_code == 201
    assert "storm_commands_rate_limited_total 2.0" in (await bob.get("/metrics")).text
    await api.stop()


async def test_a_mistake_in_the_trusted_proxies_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="proxy-1"):
        Api(tmp_path, trusted_proxies="proxy-1")


async def test_no_token_or_password_reaches_the_log(
    api: Api, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        client = await api.user("alice")
        login = await client.post("/auth/login", json={"user_id": "alice", "password": PASSWORD})
        await client.post("/auth/refresh")
        await client.get("/auth/me", params={"token": login.json()["access_token"]})
    printed = caplog.text + "".join(capsys.readouterr())
    own = [record for record in caplog.records if not record.name.startswith("httpx2")]
    said = " ".join(record.getMessage() for record in own)
    assert PASSWORD not in printed
    assert login.json()["access_token"] not in said
