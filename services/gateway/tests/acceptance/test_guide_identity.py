"""The guide about identity providers: keys over real HTTP, tokens as providers make them."""

import json
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from harness import SECRET, Node

GUIDE = Path(__file__).resolve().parents[4] / "docs/guides/identity-provider.md"
ISSUER, AUDIENCE = "https://id.example.org/realms/main", "storm"
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)
ED_KEY = ed25519.Ed25519PrivateKey.generate()

Start = Callable[..., Awaitable[Node]]


def public(key: Any, kid: str) -> dict[str, Any]:
    kind: Any = (
        jwt.algorithms.RSAAlgorithm
        if isinstance(key, rsa.RSAPrivateKey)
        else jwt.algorithms.OKPAlgorithm
    )
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


@contextmanager
def provider(*keys: dict[str, Any]) -> Iterator[str]:
    """Serves a JWKS; gives its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"keys": keys}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/jwk-set+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/certs"
        finally:
            server.shutdown()
            thread.join()


def signed(key: Any = RSA_KEY, kid: str = "1", algorithm: str = "RS256", **claims: Any) -> str:
    """An access token as a provider makes it, with whatever else it puts in."""
    now = int(time.time())
    whole = {
        "sub": "erika@example.org",
        "iat": now,
        "exp": now + 300,
        "iss": ISSUER,
        "aud": [AUDIENCE, "account"],
        "typ": "Bearer",
        "azp": "web",
        "scope": "openid profile",
        **claims,
    }
    return jwt.encode(whole, key, algorithm=algorithm, headers={"kid": kid})


def settings(jwks_url: str) -> dict[str, Any]:
    """What the guide sets, with the address of this provider."""
    shown = re.search(r"```sh\n(export STORM_JWT.*?)```", GUIDE.read_text("utf-8"), re.S)
    assert shown is not None
    found = dict(re.findall(r"^export STORM_(\w+)=(\S+)$", shown[1], re.M))
    assert "JWT_JWKS_URL" in found
    return {name.lower(): value for name, value in found.items()} | {"jwt_jwks_url": jwks_url}


async def who(node: Node, token: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return await node.http.get(f"{node.url}/auth/me", headers=headers)


async def test_tokens_of_a_provider_open_every_door(start_node: Start) -> None:
    with provider(public(OTHER_KEY, "0"), public(RSA_KEY, "1")) as url:
        node = await start_node(**settings(url))
        answer = await who(node, signed())
        shown = re.search(r"^(\{\"id\".*\})$", GUIDE.read_text("utf-8"), re.M)
        assert shown is not None
        expected = json.loads(shown[1])
        assert answer.json() | {"created_at": expected["created_at"]} == expected
        # A browser: a ticket for the WebSocket.
        headers = {"Authorization": f"Bearer {signed()}"}
        ticket = (await node.http.post(f"{node.url}/auth/ticket", headers=headers)).json()
        erika = await node.open(f"/ws?token={ticket['token']}&channel_id=1")
        assert (await erika.until("hello"))["user_id"] == "erika@example.org"
        # The token ends: a new one, and the connection goes on.
        short = await node.open("/ws", {"Authorization": f"Bearer {signed(exp=time.time() + 30)}"})
        assert (await short.until("token.expiring"))["expires_in"] <= 30
        assert (await short.ask("authenticate", token=signed()))["type"] == "ack"
        # Nobody makes users past the provider.
        registration = {"user_id": "mallory", "password": "correct horse"}
        refused = await node.http.post(f"{node.url}/auth/register", json=registration)
        assert refused.status_code == 403


async def test_what_does_not_fit_is_refused_with_the_sentence_of_the_guide(
    start_node: Start,
) -> None:
    now = time.time()
    bad = [
        signed(OTHER_KEY, "unknown"),
        signed(SECRET * 2, algorithm="HS512"),
        signed(iss=f"{ISSUER}/"),
        signed(aud="account"),
        signed(typ="ID"),
        signed(iat=now - 600, exp=now - 300),
        signed(sub="auth0|12345"),
    ]
    shown = re.findall(r"^\| (Th[^|]+\.) \|", GUIDE.read_text("utf-8"), re.M)
    assert len(shown) == len(bad)
    with provider(public(RSA_KEY, "1")) as url:
        node = await start_node(**settings(url))
        for sentence, token in zip(shown, bad, strict=True):
            answer = await who(node, token)
            # While unknown keys are looked for, the answer is "not now".
            while answer.status_code == 503:
                assert answer.headers["Retry-After"]
                answer = await who(node, token)
            assert answer.status_code == 401
            assert answer.json()["message"].startswith(sentence)
        # Nobody can sign with what is public.
        forged = signed(OTHER_KEY)
        assert (await who(node, forged)).status_code == 401


async def test_eddsa_of_a_provider_works_too(start_node: Start) -> None:
    with provider(public(ED_KEY, "ed")) as url:
        node = await start_node(**settings(url) | {"jwt_algorithm": "EdDSA"})
        assert (await who(node, signed(ED_KEY, "ed", "EdDSA"))).status_code == 200


async def test_a_provider_that_is_away_holds_nobody_up(start_node: Start) -> None:
    with provider() as url:
        pass
    node = await start_node(**settings(url))
    assert (await who(node, signed())).status_code in (401, 503)


async def test_tokens_of_a_back_end_of_ones_own_are_good(
    start_node: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.S)
    assert found is not None
    program: dict[str, Any] = {}
    exec(found[1], program)  # noqa: S102 it stands in the repository
    node = await start_node()
    monkeypatch.setenv("STORM_JWT_SECRET", SECRET)
    answer = await who(node, program["token_for"]("carol"))
    assert answer.json()["id"] == "carol"
