"""``/auth`` and ``/users`` as the contract says."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import jwt
import pytest
from api_node import ORIGIN, PASSWORD, SECRET, Api, refusal


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    api = Api(tmp_path)
    await api.start()
    yield api
    await api.stop()


def cookies_of(response: httpx2.Response) -> dict[str, str]:
    """Set-Cookie by name: everything after the value."""
    found = {}
    for line in response.headers.get_list("set-cookie"):
        name, _, rest = line.partition("=")
        found[name] = rest.partition(";")[2].strip().lower()
    return found


async def test_registering_answers_201_with_the_user(api: Api) -> None:
    client = api.client()
    body = {"user_id": "alice", "password": PASSWORD, "display_name": "Alice"}
    answer = await client.post("/auth/register", json=body)
    assert answer.status_code == 201
    made = answer.json()
    assert made["id"] == "alice"
    assert made["display_name"] == "Alice"
    assert made["created_at"].endswith("Z")
    assert "password" not in answer.text
    assert refusal(await client.post("/auth/register", json=body)) == (409, "name_taken")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        "text",
        {"user_id": "alice"},
        {"password": PASSWORD},
        {"user_id": "", "password": PASSWORD},
        {"user_id": " ", "password": PASSWORD},
        {"user_id": "..", "password": PASSWORD},
        {"user_id": "a b", "password": PASSWORD},
        {"user_id": "x" * 65, "password": PASSWORD},
        {"user_id": 7, "password": PASSWORD},
        {"user_id": "alice", "password": ""},
        {"user_id": "alice", "password": "short"},
        {"user_id": "alice", "password": "x" * 129},
        {"user_id": "alice", "password": 12345678},
        {"user_id": "alice", "password": PASSWORD, "display_name": " "},
        {"user_id": "alice", "password": PASSWORD, "display_name": "a\nb"},
        {"user_id": "alice", "password": PASSWORD, "display_name": 1},
    ],
)
async def test_a_registration_that_says_too_little_is_a_400(api: Api, body: object) -> None:
    answer = await api.client().post("/auth/register", json=body)
    assert refusal(answer) == (400, "invalid_request")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b'{"user_id": NaN}', b"[" * 10_000, b'{"user_id":"\\ud800"}'],
)
async def test_a_body_that_is_no_json_is_a_400(api: Api, content: bytes) -> None:
    answer = await api.client().post(
        "/auth/register", content=content, headers={"content-type": "application/json"}
    )
    assert refusal(answer) == (400, "invalid_request")


async def test_a_refusal_says_where_and_repeats_no_password(api: Api) -> None:
    body = {"user_id": "a b", "password": "secret7"}
    answer = await api.client().post("/auth/register", json=body)
    assert "body.user_id" in answer.json()["message"]
    assert "letters" in answer.json()["message"]
    assert "body.password" in answer.json()["message"]
    assert "secret7" not in answer.text


async def test_logging_in_sets_both_cookies_out_of_reach_of_scripts(api: Api) -> None:
    await api.user("alice")
    client = api.client()
    answer = await client.post("/auth/login", json={"user_id": "alice", "password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    assert body["id"] == "alice"
    assert body["expires_in"] == 900
    assert cookies_of(answer) == {
        "access_token": "httponly; max-age=900; path=/; samesite=lax",
        "refresh_token": "httponly; max-age=86400; path=/; samesite=lax",
    }
    assert client.cookies["access_token"] == body["access_token"]
    assert (await client.get("/auth/me")).json()["id"] == "alice"


async def test_cookies_are_secure_where_the_configuration_says_so(tmp_path: Path) -> None:
    api = Api(tmp_path, cookie_secure=True)
    await api.start()
    await api.user("alice")
    client = api.client()
    login = await client.post("/auth/login", json={"user_id": "alice", "password": PASSWORD})
    assert all("; secure" in flags for flags in cookies_of(login).values())
    logout = await client.post("/auth/logout")
    assert all("; secure" in flags for flags in cookies_of(logout).values())
    await api.stop()


@pytest.mark.parametrize(
    ("user_id", "password"),
    [("alice", "wrong password"), ("nobody", PASSWORD), ("..", PASSWORD), ("a/b", PASSWORD)],
)
async def test_a_failed_login_tells_nothing_about_who_exists(
    api: Api, user_id: str, password: str
) -> None:
    await api.user("alice")
    client = api.client()
    answer = await client.post("/auth/login", json={"user_id": user_id, "password": password})
    assert refusal(answer) == (401, "unauthenticated")
    assert answer.json()["message"] == "The user id or the password is wrong."
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "set-cookie" not in answer.headers


async def test_a_refresh_rotates_both_cookies(api: Api) -> None:
    await api.user("alice")
    client = api.client()
    login = await client.post("/auth/login", json={"user_id": "alice", "password": PASSWORD})
    before = dict(client.cookies)
    answer = await client.post("/auth/refresh")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "refreshed"
    assert body["expires_in"] == 900
    assert body["access_token"] == client.cookies["access_token"]
    assert body["access_token"] != login.json()["access_token"]
    assert client.cookies["refresh_token"] != before["refresh_token"]
    assert (await client.get("/auth/me")).status_code == 200


async def test_a_refresh_without_a_good_cookie_is_a_401(api: Api) -> None:
    client = await api.user("alice")
    assert refusal(await client.post("/auth/refresh")) == (401, "unauthenticated")
    for value in ("x", "x" * 5_000, client.headers["authorization"].split()[1]):
        answer = await api.client(cookies={"refresh_token": value}).post("/auth/refresh")
        assert refusal(answer) == (401, "unauthenticated")


async def test_a_stolen_refresh_token_ends_the_login(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storm_gateway.actions import auth

    monkeypatch.setattr(auth, "DOUBLE_REFRESH_SECONDS", 0)
    await api.user("alice")
    client = api.client()
    await client.post("/auth/login", json={"user_id": "alice", "password": PASSWORD})
    thief = api.client(cookies=dict(client.cookies))
    for _ in range(2):  # with the successor used, the old token is nobody's second tab
        assert (await client.post("/auth/refresh")).status_code == 200
    assert refusal(await thief.post("/auth/refresh")) == (401, "unauthenticated")
    assert refusal(await client.post("/auth/refresh")) == (401, "unauthenticated")
    assert refusal(await client.get("/auth/me")) == (401, "unauthenticated")
    assert [event.kind for event in api.controls] == ["session_revoked"]


async def test_logging_out_clears_the_cookies_and_ends_the_tokens(api: Api) -> None:
    await api.user("alice")
    client = api.client()
    login = await client.post("/auth/login", json={"user_id": "alice", "password": PASSWORD})
    kept = api.client(cookies=dict(client.cookies))
    answer = await client.post("/auth/logout")
    assert answer.json() == {"status": "logged out"}
    assert all("max-age=0" in flags for flags in cookies_of(answer).values())
    assert set(cookies_of(answer)) == {"access_token", "refresh_token"}
    assert not client.cookies
    for path in ("/auth/me", "/channels"):
        assert refusal(await kept.get(path)) == (401, "unauthenticated")
    assert refusal(await kept.post("/auth/refresh")) == (401, "unauthenticated")
    bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
    assert refusal(await api.client().get("/auth/me", headers=bearer)) == (401, "unauthenticated")
    assert (await api.client().post("/auth/logout")).status_code == 200


async def test_me_is_read_changed_and_deleted(api: Api) -> None:
    client = await api.user("alice")
    assert (await client.get("/auth/me")).json()["display_name"] == "alice"
    changed = await client.patch("/auth/me", json={"display_name": " Alice L. "})
    assert (changed.status_code, changed.json()["display_name"]) == (200, "Alice L.")
    assert "set-cookie" not in changed.headers
    for body in ({}, {"display_name": None}, {"other": 1}, {"display_name": ""}):
        assert refusal(await client.patch("/auth/me", json=body)) == (400, "invalid_request")
    general = (await client.post("/channels/1/messages", json={"payload": "I was here"})).json()
    deleted = await client.delete("/auth/me")
    assert deleted.json() == {"status": "deleted"}
    assert set(cookies_of(deleted)) == {"access_token", "refresh_token"}
    assert refusal(await client.get("/auth/me")) == (401, "unauthenticated")
    bob = await api.user("bob")
    [message] = (await bob.get("/channels/1/messages")).json()
    assert (message["id"], message["payload"]) == (general["id"], "I was here")
    assert message["author_deleted"] is True
    assert refusal(await bob.get("/users/alice")) == (404, "not_found")


async def test_a_new_password_ends_other_logins_and_keeps_this_browser(api: Api) -> None:
    other = await api.user("alice")
    client = api.client()
    await client.post("/auth/login", json={"user_id": "alice", "password": PASSWORD})
    answer = await client.patch(
        "/auth/me", json={"password": "another secret", "display_name": "A"}
    )
    assert (answer.status_code, answer.json()["display_name"]) == (200, "A")
    assert set(cookies_of(answer)) == {"access_token", "refresh_token"}
    assert (await client.get("/auth/me")).status_code == 200
    assert (await client.post("/auth/refresh")).status_code == 200
    assert refusal(await other.get("/auth/me")) == (401, "unauthenticated")
    again = {"user_id": "alice", "password": "another secret"}
    assert (await api.client().post("/auth/login", json=again)).status_code == 200


async def test_a_ticket_is_no_access_token(api: Api) -> None:
    client = await api.user("alice")
    answer = await client.post("/auth/ticket")
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 60
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    assert refusal(await api.client().get("/auth/me", headers=bearer)) == (401, "unauthenticated")
    identity = api.actions.auth.authenticate(answer.json()["token"], ticket=True)
    assert identity.user_id == "alice"


# --- where the token comes from ---


async def test_the_header_comes_before_the_cookie_and_the_url_never_counts(api: Api) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    token = {user: user.headers["authorization"].split()[1] for user in (alice, bob)}
    both = api.client(cookies={"access_token": token[bob]})
    assert (await both.get("/auth/me")).json()["id"] == "bob"
    header = {"Authorization": f"bearer {token[alice]}"}
    assert (await both.get("/auth/me", headers=header)).json()["id"] == "alice"
    for value in ("Bearer", "Bearer ", "Basic YWxpY2U6eA==", "Bearer x", token[alice]):
        answer = await both.get("/auth/me", headers={"Authorization": value})
        assert refusal(answer) == (401, "unauthenticated"), value
    in_url = await api.client().get("/auth/me", params={"token": token[alice]})
    assert refusal(in_url) == (401, "unauthenticated")


async def test_the_user_of_another_back_end_becomes_a_user(api: Api) -> None:
    import time

    now = time.time()
    token = jwt.encode({"sub": "guest", "iat": now, "exp": now + 60}, SECRET, algorithm="HS256")
    client = api.client(headers={"Authorization": f"Bearer {token}"})
    assert (await client.get("/channels")).status_code == 200
    assert (await client.get("/auth/me")).json()["id"] == "guest"
    posted = await client.post("/channels/1/messages", json={"payload": "hello"})
    assert posted.json()["user_id"] == "guest"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 201),
        (ORIGIN, 201),
        (ORIGIN.upper(), 201),
        ("http://storm.example", 201),
        ("https://storm.example", 201),
        ("null", 403),
        ("http://evil.example", 403),
        ("http://localhost:5174", 403),
        ("http://localhost:5173.evil.example", 403),
        ("http://storm.example.evil", 403),
        ("http://storm.example:8080", 403),
        ("", 403),
    ],
)
async def test_a_change_by_cookie_must_come_from_an_allowed_origin(
    api: Api, origin: str | None, status: int
) -> None:
    alice = await api.user("alice")
    token = alice.headers["authorization"].split()[1]
    by_cookie = api.client(cookies={"access_token": token})
    headers = {} if origin is None else {"Origin": origin}
    answer = await by_cookie.post("/channels", json={"name": "x"}, headers=headers)
    assert answer.status_code == status
    # Reading is harmless (CORS hides the answer), and a header is no cookie.
    assert (await by_cookie.get("/channels", headers=headers)).status_code == 200
    assert (await alice.post("/channels", json={"name": "y"}, headers=headers)).status_code == 201


@pytest.mark.parametrize("path", ["/auth/login", "/auth/refresh", "/auth/logout"])
async def test_cookies_are_not_set_or_spent_for_another_site(api: Api, path: str) -> None:
    await api.user("alice")
    client = api.client()
    await client.post("/auth/login", json={"user_id": "alice", "password": PASSWORD})
    answer = await client.post(
        path,
        json={"user_id": "alice", "password": PASSWORD},
        headers={"Origin": "https://evil.example"},
    )
    assert refusal(answer) == (403, "forbidden")
    assert (await client.post("/auth/refresh")).status_code == 200


# --- the limit per address ---


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[Api]:
    api = Api(tmp_path, auth_rate_limit_enabled=True, trusted_proxies="10.0.0.0/8")
    await api.start()
    yield api
    await api.stop()


async def test_the_fourth_attempt_at_once_is_a_429(limited: Api) -> None:
    client = limited.client("203.0.113.1")
    body = {"user_id": "alice", "password": "wrong password"}
    statuses = [(await client.post("/auth/login", json=body)).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    answer = await client.post("/auth/register", json={"user_id": "alice", "password": PASSWORD})
    assert refusal(answer) == (429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 12
    assert 0 < answer.json()["retry_after_ms"] <= 12_000
    metrics = (await client.get("/metrics")).text
    assert "storm_auth_rate_limited_total 2.0" in metrics
    elsewhere = limited.client("203.0.113.2")
    assert (await elsewhere.post("/auth/login", json=body)).status_code == 401


async def test_guessing_tokens_counts_and_a_good_token_does_not(limited: Api) -> None:
    alice = await limited.user("alice")
    assert {(await alice.get("/auth/me")).status_code for _ in range(20)} == {200}
    assert {(await alice.post("/auth/ticket")).status_code for _ in range(20)} == {200}
    guess = {"Authorization": "Bearer guess"}
    statuses = [(await alice.get("/auth/me", headers=guess)).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    assert (await alice.get("/auth/me")).status_code == 200
    assert (await limited.client().post("/auth/logout", headers=guess)).status_code == 429
    cookies = {"refresh_token": "guess"}
    for path in ("/auth/logout", "/auth/refresh"):
        assert (await limited.client(cookies=cookies).post(path)).status_code == 429


async def test_a_page_that_shows_nothing_and_then_signs_up_is_not_too_fast(limited: Api) -> None:
    page = limited.client("203.0.113.7")
    for _ in range(5):
        assert (await page.get("/auth/me")).status_code == 401
        assert (await page.post("/auth/refresh")).status_code == 401
        assert (await page.post("/auth/logout")).status_code == 200
    body = {"user_id": "alice", "password": PASSWORD}
    assert (await page.post("/auth/register", json=body)).status_code == 201
    assert (await page.post("/auth/login", json=body)).status_code == 200


async def test_a_password_change_counts_like_a_login(limited: Api) -> None:
    client = await limited.user("alice")
    for number in range(3):
        answer = await client.patch("/auth/me", json={"password": f"{PASSWORD}{number}"})
        assert answer.status_code == 200
        cookie = answer.cookies["access_token"]
        client.cookies.clear()
        client.headers["Authorization"] = f"Bearer {cookie}"
    answer = await client.patch("/users/alice", json={"password": PASSWORD})
    assert refusal(answer) == (429, "rate_limited")


async def test_behind_a_trusted_proxy_the_forwarded_address_counts(limited: Api) -> None:
    body = {"user_id": "alice", "password": "wrong password"}

    async def tries(peer: str, forwarded: str) -> int:
        client = limited.client(peer, headers={"X-Forwarded-For": forwarded})
        return (await client.post("/auth/login", json=body)).status_code

    assert [await tries("10.0.0.1", "198.51.100.1") for _ in range(4)] == [401, 401, 401, 429]
    assert await tries("10.0.0.1", "198.51.100.2") == 401
    assert await tries("10.0.0.1", "1.2.3.4, 198.51.100.1") == 429
    # Without a proxy the header is the client's own invention.
    assert [await tries("203.0.113.9", f"1.1.1.{n}") for n in range(4)] == [401, 401, 401, 429]


async def test_too_many_hashes_at_once_are_a_503_with_retry_after(tmp_path: Path) -> None:
    api = Api(tmp_path, password_hash_queue=1)
    await api.start()
    client = api.client()
    body = {"user_id": "alice", "password": "wrong password"}
    answers = await asyncio.gather(*(client.post("/auth/login", json=body) for _ in range(30)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {401, 503}
    busy = next(answer for answer in answers if answer.status_code == 503)
    assert refusal(busy) == (503, "unavailable")
    assert busy.headers["retry-after"] == "1"
    await api.stop()


# --- /users ---


async def test_users_are_listed_in_pages(api: Api) -> None:
    client = await api.user("alice")
    for name in ("bob", "carol", "dave"):
        await api.user(name)
    listed = (await client.get("/users")).json()
    assert [user["id"] for user in listed] == ["alice", "bob", "carol", "dave"]
    page = (await client.get("/users", params={"limit": 2, "after": "alice"})).json()
    assert [user["id"] for user in page] == ["bob", "carol"]
    found = (await client.get("/users", params={"contains": "ARO"})).json()
    assert [user["id"] for user in found] == ["carol"]
    for limit in (0, 201, "x", -1):
        answer = await client.get("/users", params={"limit": limit})
        assert refusal(answer) == (400, "invalid_request")


async def test_users_by_name_are_as_me_for_oneself_and_closed_for_others(api: Api) -> None:
    alice = await api.user("alice")
    bob = await api.user("bob")
    made = await alice.post("/users", json={"user_id": "carol", "password": PASSWORD})
    assert (made.status_code, made.json()["id"]) == (201, "carol")
    again = await alice.post("/users", json={"user_id": "carol", "password": PASSWORD})
    assert refusal(again) == (409, "name_taken")
    assert (await bob.get("/users/alice")).json()["id"] == "alice"
    name = {"display_name": "X"}
    assert refusal(await bob.patch("/users/alice", json=name)) == (403, "forbidden")
    assert refusal(await bob.patch("/users/alice", json={})) == (403, "forbidden")
    assert refusal(await bob.delete("/users/alice")) == (403, "forbidden")
    for method in ("GET", "PATCH", "DELETE"):
        answer = await bob.request(method, "/users/nobody", json=name)
        assert refusal(answer) == (404, "not_found")
    changed = await alice.patch("/users/alice", json=name)
    assert changed.json()["display_name"] == "X"
    assert refusal(await alice.patch("/users/alice", json={})) == (400, "invalid_request")
    assert (await alice.delete("/users/alice")).json() == {"status": "deleted"}
    assert refusal(await alice.get("/auth/me")) == (401, "unauthenticated")


async def test_administrators_make_administrators(api: Api) -> None:
    root, alice = await api.user("root"), await api.user("alice")
    assert (await root.get("/auth/me")).json()["admin"] is True
    promote = {"admin": True}
    assert refusal(await alice.patch("/users/alice", json=promote)) == (403, "forbidden")
    assert refusal(await alice.patch("/users/root", json=promote)) == (403, "forbidden")
    assert refusal(await root.patch("/users/nobody", json=promote)) == (404, "not_found")
    assert (await root.patch("/users/alice", json=promote)).json()["admin"] is True
    both = {"admin": True, "display_name": "Alice"}
    assert refusal(await root.patch("/users/alice", json=both)) == (403, "forbidden")
    mine = await alice.patch("/users/alice", json=both)
    assert (mine.json()["admin"], mine.json()["display_name"]) == (True, "Alice")
    assert (await alice.patch("/users/alice", json={"admin": False})).json()["admin"] is False
    assert refusal(await alice.patch("/users/alice", json=promote)) == (403, "forbidden")


async def test_closed_registration_is_open_to_administrators(tmp_path: Path) -> None:
    api = Api(tmp_path, registration_enabled=False, auth_rate_limit_enabled=True)
    await api.start()
    root, alice = await api.user("root"), await api.user("alice")
    body = {"user_id": "bob", "password": PASSWORD}
    assert refusal(await api.client().post("/auth/register", json=body)) == (403, "forbidden")
    assert refusal(await alice.post("/users", json=body)) == (403, "forbidden")
    for number in range(5):
        body = {"user_id": f"bob-{number}", "password": PASSWORD}
        assert (await root.post("/users", json=body)).status_code == 201
    await api.stop()
