"""The web client on the gateway's own port: the page for its own addresses, never for the API's."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from harness import WAIT_SECONDS, Node, token

PAGE = b"<!doctype html><title>STORM</title>" + b"<!-- -->" * 20
SCRIPT = b"console.log('storm')\n" * 100
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
SCRIPT_PATH = "/assets/index-BVSlQf0c.js"
PAGES = (
    "/ /?from=mail /login /register /c/1 /c/1/ /c/7/members /settings /settings/ "
    "/settings/profile /admin /admin/users"
)
OTHERS = (
    "/events /auth /auth/nothing /channels/1/nothing /server /server/nothing /users/alice/nothing "
    "/direct/1 /publish/x /wss /ws/ /nothing /c /logins /login.html /index.html /assets /assets/ "
    "/assets/index.js // /favicon.ico /metrics/x /openapi.json/x /docs/x /healthz/"
)
HIDDEN = (
    "/assets/../../secret /assets/%2e%2e/%2e%2e/secret /assets/..%2f..%2fsecret "
    "/assets/..%5c..%5csecret /assets//../secret /assets/%2fetc/passwd /../secret "
    "/assets/../index.html /assets/./index-BVSlQf0c.js /assets/%00 /.vite/manifest.json "
    "/assets/link.js /linked/secret /assets/../linked/secret /assets/%252e%252e/secret "
    "/assets/index-BVSlQf0c.js.br /assets/index-BVSlQf0c.js.gz /assets/index-BVSlQf0c.js/"
)
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A client as the build leaves it, and beside it what must never be served."""
    web = tmp_path / "web"
    (web / "assets").mkdir(parents=True)
    (web / ".vite").mkdir()
    (tmp_path / "secret").write_text("not for anybody")
    (web / "index.html").write_bytes(PAGE)
    (web / "favicon.svg").write_bytes(b"<svg/>")
    script = web / "assets/index-BVSlQf0c.js"
    script.write_bytes(SCRIPT)
    (script.parent / f"{script.name}.gz").write_bytes(gzip.compress(SCRIPT))
    (script.parent / f"{script.name}.br").write_bytes(b"as brotli")
    (web / ".vite/manifest.json").write_text("{}")
    (web / "assets/link.js").symlink_to(tmp_path / "secret")
    (web / "linked").symlink_to(tmp_path)
    return web


@pytest.fixture
async def web(start_node: Callable[..., Awaitable[Node]], built: Path) -> Node:
    return await start_node(web_dir=str(built))


async def raw(node: Node, target: str, *headers: str, method: str = "GET") -> Answer:
    """One request whose target reaches the server as it stands; the answer to the last byte."""
    peer = await node.tcp()
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    peer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    async with asyncio.timeout(WAIT_SECONDS):
        answer = await peer.reader.read(-1)
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *rows = head.decode("latin-1").split("\r\n")
    fields = (row.partition(":") for row in rows)
    return int(status.split()[1]), {n.lower(): v.strip() for n, _, v in fields}, body


def assert_json_404(answer: Answer) -> None:
    status, headers, body = answer
    assert (status, headers["content-type"]) == (404, "application/json")
    assert json.loads(body)["code"] == "not_found"
    assert headers["content-security-policy"].startswith("default-src 'none'; base-uri")


async def test_the_page_answers_at_its_own_addresses(web: Node) -> None:
    for path in PAGES.split():
        status, headers, body = await raw(web, path)
        assert (status, body) == (200, PAGE), path
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert headers["content-security-policy"] == POLICY
        assert headers["cache-control"] == "no-cache"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


async def test_no_other_address_ever_gets_the_page(web: Node) -> None:
    for path in OTHERS.split():
        for accept in ("text/html", "text/event-stream", "*/*"):
            assert_json_404(await raw(web, path, f"Accept: {accept}"))


async def test_the_page_is_only_read(web: Node) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in ("/", "/login", "/c/1", SCRIPT_PATH, "/favicon.svg"):
            status, headers, body = await raw(web, path, "Content-Length: 0", method=method)
            assert (status, json.loads(body)["code"]) == (405, "method_not_allowed")
            assert headers["allow"] == "GET, HEAD"


async def test_the_docs_and_the_api_stay_where_they_were(web: Node) -> None:
    assert b"STORM API" in (await raw(web, "/docs"))[2]
    assert (await raw(web, "/channels"))[0] == 401
    assert (await raw(web, "/healthz"))[2] == b"ok"
    assert (await raw(web, "/ws"))[0] == 426


async def test_head_says_what_get_would_and_sends_nothing(web: Node) -> None:
    for path in ("/", "/c/1", SCRIPT_PATH, "/favicon.svg"):
        got, headed = await raw(web, path), await raw(web, path, method="HEAD")
        assert headed[2] == b""
        assert {**headed[1], "date": ""} == {**got[1], "date": ""}
        assert int(headed[1]["content-length"]) == len(got[2])


async def test_the_page_is_sent_again_only_when_it_changed(web: Node) -> None:
    _, headers, _ = await raw(web, "/")
    etag = headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        status, again, body = await raw(web, "/c/1", f"If-None-Match: {known}")
        assert (status, body, again["etag"]) == (304, b"", etag)
        assert again["cache-control"] == "no-cache"
        assert again["content-security-policy"] == POLICY
    assert (await raw(web, "/", 'If-None-Match: "other"'))[0] == 200


async def test_hashed_files_are_kept_for_ever(web: Node) -> None:
    status, headers, body = await raw(web, SCRIPT_PATH)
    assert (status, body) == (200, SCRIPT)
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    status, headers, body = await raw(web, "/favicon.svg")
    assert (status, body, headers["content-type"]) == (200, b"<svg/>", "image/svg+xml")
    assert headers["cache-control"] == "no-cache"


async def test_the_compressed_copy_is_chosen_by_what_the_client_says(web: Node) -> None:
    for accept, coding in (
        (None, None),
        ("", None),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("BR;Q=0.5, GZIP;q=0.9", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0, gzip;q=0", None),
        ("*", "br"),
        ("*;q=0.1, br;q=0", "gzip"),
        ("identity;q=1, *;q=0", None),
        ("identity;q=0, br;q=0, gzip;q=0", None),
        ("identity, br;q=0.5", None),
        ("br;q=lots", None),
        ("br;q=nan", None),
        ("deflate", None),
    ):
        said = [] if accept is None else [f"Accept-Encoding: {accept}"]
        status, headers, body = await raw(web, SCRIPT_PATH, *said)
        assert (status, headers.get("content-encoding")) == (200, coding), accept
        assert "Accept-Encoding" in headers["vary"]
        if coding == "gzip":
            body = gzip.decompress(body)
        assert body == (b"as brotli" if coding == "br" else SCRIPT)


async def test_each_coding_has_an_etag_of_its_own(web: Node) -> None:
    path = SCRIPT_PATH
    tags = {
        said: (await raw(web, path, f"Accept-Encoding: {said}"))[1]["etag"]
        for said in ("identity", "gzip", "br")
    }
    assert len(set(tags.values())) == 3
    known = f"If-None-Match: {tags['gzip']}"
    assert (await raw(web, path, "Accept-Encoding: gzip", known))[0] == 304
    status, headers, _ = await raw(web, path, "Accept-Encoding: br", known)
    assert status == 200
    assert "Accept-Encoding" in headers["vary"]


async def test_no_path_leads_out_of_the_client_or_to_its_hidden_parts(web: Node) -> None:
    for path in HIDDEN.split():
        assert_json_404(await raw(web, path))


async def test_pages_of_the_client_may_walk_up_without_leaving_it(web: Node) -> None:
    # What follows /c/ belongs to the page's router: whatever it is, it is the page.
    assert (await raw(web, "/c/../../secret"))[2] == PAGE


async def test_what_changes_on_the_disk_later_is_not_looked_at(web: Node, built: Path) -> None:
    (built / "index.html").write_bytes(b"changed")
    (built / "assets/new.js").write_bytes(b"new")
    assert (await raw(web, "/"))[2] == PAGE
    assert_json_404(await raw(web, "/assets/new.js"))


async def test_without_a_built_client_the_page_says_how_to_build_it(
    start_node: Callable[..., Awaitable[Node]], tmp_path: Path
) -> None:
    node = await start_node(web_dir=str(tmp_path / "nowhere"))
    for path in ("/", "/login", "/c/1"):
        answer = await raw(node, path, "Accept: text/html")
        assert_json_404(answer)
        assert "make run" in json.loads(answer[2])["message"]
    assert_json_404(await raw(node, SCRIPT_PATH))
    assert_json_404(await raw(node, "/favicon.svg"))


async def test_the_page_may_open_a_websocket_on_whatever_host_it_was_loaded_from(
    web: Node,
) -> None:
    for host in ("chat.example", "chat.example:8443", "127.0.0.1:9", "[::1]:8080"):
        for scheme in ("http", "https"):
            peer = await web.open(
                headers={
                    "Origin": f"{scheme}://{host}",
                    "Cookie": f"access_token={token('alice')}",
                },
                host=host,
            )
            await peer.until("hello")
