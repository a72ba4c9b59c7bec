"""Tokens of an identity provider, whose keys are fetched."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from actions_node import SECRET, Clock, Node
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from storm_gateway.actions.actions import Actions
from storm_gateway.actions.jwks import Jwks
from storm_gateway.actions.tokens import Tokens
from storm_gateway.config import Config
from storm_gateway.errors import UnauthenticatedError, UnavailableError

URL = "https://id.example/keys"
FIRST = rsa.generate_private_key(65537, 2048)
SECOND = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()
Answer = Callable[[httpx2.Request], httpx2.Response]


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    algorithm: Any = (
        jwt.algorithms.RSAAlgorithm
        if isinstance(key, rsa.RSAPrivateKey)
        else jwt.algorithms.OKPAlgorithm
    )
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **more}


class Provider:
    """An identity provider whose answer can be changed; counts how often it is asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.answer: Answer = lambda _: httpx2.Response(200, json={"keys": self.keys})

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        assert str(request.url) == URL
        return self.answer(request)


class Monotonic:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Side:
    """The tokens of a node that trusts one provider."""

    def __init__(self, tmp_path: Path, provider: Provider, algorithm: str = "RS256") -> None:
        self.clock = Clock()
        self.monotonic = Monotonic()
        self.jwks = Jwks(
            URL, algorithm, clock=self.monotonic, transport=httpx2.MockTransport(provider)
        )
        config = Config(
            data_dir=tmp_path,
            jwt_algorithm=algorithm,  # type: ignore[arg-type]
            jwt_jwks_url=URL,
        )
        self.tokens = Tokens(config, SECRET, self.jwks, clock=self.clock)

    def token(self, key: Any, kid: str | None, algorithm: str = "RS256", **more: Any) -> str:
        claims = {"sub": "alice", "iat": self.clock.now, "exp": self.clock.now + 600, **more}
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


async def test_a_token_signed_with_a_published_key_is_good(tmp_path: Path) -> None:
    provider = Provider(jwk(FIRST, "1"), jwk(SECOND, "2", use="sig", alg="RS256"))
    side = Side(tmp_path, provider)
    await side.jwks.start()
    for key, kid in ((FIRST, "1"), (SECOND, "2")):
        identity = side.tokens.verify(side.token(key, kid))
        assert (identity.user_id, identity.foreign) == ("alice", True)
    assert provider.asked == 1


async def test_eddsa_works_the_same_way(tmp_path: Path) -> None:
    side = Side(tmp_path, Provider(jwk(ED, "ed")), "EdDSA")
    await side.jwks.start()
    assert side.tokens.verify(side.token(ED, "ed", "EdDSA")).user_id == "alice"


async def test_the_key_of_another_id_does_not_fit(tmp_path: Path) -> None:
    side = Side(tmp_path, Provider(jwk(FIRST, "1"), jwk(SECOND, "2")))
    await side.jwks.start()
    with pytest.raises(UnauthenticatedError):
        side.tokens.verify(side.token(FIRST, "2"))
    with pytest.raises(UnauthenticatedError, match="names no key"):
        side.tokens.verify(side.token(FIRST, None))


async def test_the_public_key_is_never_a_secret(tmp_path: Path) -> None:
    side = Side(tmp_path, Provider(jwk(FIRST, "1")))
    await side.jwks.start()
    pem = FIRST.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def b64(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = {"sub": "alice", "iat": side.clock.now, "exp": side.clock.now + 600}
    head = {"alg": "HS256", "kid": "1"}
    text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
    forged = f"{text}.{b64(hmac.new(pem, text.encode(), hashlib.sha256).digest())}"
    with pytest.raises(UnauthenticatedError):
        side.tokens.verify(forged)


async def test_the_shared_secret_no_longer_lets_foreign_users_in(tmp_path: Path) -> None:
    side = Side(tmp_path, Provider(jwk(FIRST, "1")))
    await side.jwks.start()
    with pytest.raises(UnauthenticatedError, match="another algorithm"):
        side.tokens.verify(side.token(SECRET, None, "HS256"))
    assert side.tokens.verify(side.tokens.make_access("bob", "s")).user_id == "bob"


async def test_our_own_marks_signed_by_the_provider_are_refused(tmp_path: Path) -> None:
    side = Side(tmp_path, Provider(jwk(FIRST, "1")))
    await side.jwks.start()
    for kind in ("access", "ticket", "ID", "Refresh"):
        token = side.token(FIRST, "1", typ=kind, iss="storm", sid="s", jti="j")
        with pytest.raises(UnauthenticatedError, match="not an access token"):
            side.tokens.verify(token, ticket=True)
    assert side.tokens.verify(side.token(FIRST, "1", typ="Bearer")).user_id == "alice"


async def test_an_unknown_key_is_asked_for_once_a_minute(tmp_path: Path) -> None:
    provider = Provider(jwk(FIRST, "1"))
    side = Side(tmp_path, provider)
    await side.jwks.start()
    token = side.token(SECOND, "2")
    with pytest.raises(UnauthenticatedError, match="unknown key"):
        side.tokens.verify(token)
    assert provider.asked == 1
    side.monotonic.now += 60
    provider.keys.append(jwk(SECOND, "2"))
    with pytest.raises(UnavailableError) as busy:
        side.tokens.verify(token)
    assert busy.value.retry_after_ms == 1_000
    with pytest.raises(UnavailableError):
        side.tokens.verify(token)
    await side.jwks.settled()
    assert side.tokens.verify(token).user_id == "alice"
    assert provider.asked == 2
    for number in range(100):
        with pytest.raises(UnauthenticatedError, match="unknown key"):
            side.tokens.verify(side.token(SECOND, f"flood-{number}"))
    assert provider.asked == 2


async def test_a_withdrawn_key_goes_within_ten_minutes(tmp_path: Path) -> None:
    provider = Provider(jwk(FIRST, "1"), jwk(SECOND, "2"))
    side = Side(tmp_path, provider)
    await side.jwks.start()
    provider.keys.pop(0)
    side.monotonic.now += 600
    assert side.tokens.verify(side.token(FIRST, "1")).user_id == "alice"
    await side.jwks.settled()
    side.clock.now += 1
    with pytest.raises(UnauthenticatedError):
        side.tokens.verify(side.token(FIRST, "1"))


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: httpx2.Response(500),
        lambda _: httpx2.Response(302, headers={"location": "http://127.0.0.1/secret"}),
        lambda _: httpx2.Response(200, content=b"x" * 300_000),
        lambda _: httpx2.Response(200, content=b"<html>"),
        lambda _: httpx2.Response(200, content=b"[" * 100_000),
        lambda _: httpx2.Response(200, json=[]),
        lambda _: httpx2.Response(200, json={"keys": {"1": {}}}),
    ],
)
async def test_known_keys_outlive_a_broken_provider(tmp_path: Path, answer: Answer) -> None:
    provider = Provider(jwk(FIRST, "1"))
    side = Side(tmp_path, provider)
    await side.jwks.start()
    provider.answer = answer
    side.monotonic.now += 601
    side.tokens.verify(side.token(FIRST, "1"))
    await side.jwks.settled()
    assert provider.asked == 2
    assert side.tokens.verify(side.token(FIRST, "1", jti="another")).user_id == "alice"


async def test_a_provider_that_is_away_at_the_start_does_not_stop_the_start(
    tmp_path: Path,
) -> None:
    def away(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    provider = Provider(jwk(FIRST, "1"))
    good, provider.answer = provider.answer, away
    side = Side(tmp_path, provider)
    await side.jwks.start()
    provider.answer = good
    side.monotonic.now += 61
    with pytest.raises(UnavailableError):
        side.tokens.verify(side.token(FIRST, "1"))
    await side.jwks.settled()
    assert side.tokens.verify(side.token(FIRST, "1")).user_id == "alice"


async def test_keys_that_are_not_public_signature_keys_are_left_out(tmp_path: Path) -> None:
    private = jwt.algorithms.RSAAlgorithm.to_jwk(FIRST, as_dict=True)
    provider = Provider(
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {**private, "kid": "private"},
        jwk(FIRST, "encryption", use="enc"),
        jwk(FIRST, "other", alg="RS512"),
        jwk(ED, "ed"),
        {"kty": "RSA", "kid": "broken", "n": "AQAB"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        "not a key",  # type: ignore[arg-type]
        jwk(SECOND, "good"),
    )
    side = Side(tmp_path, provider)
    await side.jwks.start()
    assert side.tokens.verify(side.token(SECOND, "good")).user_id == "alice"
    for kid in ("private", "encryption", "other", "broken"):
        with pytest.raises(UnauthenticatedError, match="unknown key"):
            side.tokens.verify(side.token(FIRST, kid))


async def test_a_short_rsa_key_is_refused(tmp_path: Path) -> None:
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 that is the point
    side = Side(tmp_path, Provider(jwk(short, "short")))
    await side.jwks.start()
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = side.token(short, "short")
    with pytest.raises(UnauthenticatedError):
        side.tokens.verify(token)


async def test_stopping_ends_a_fetch(tmp_path: Path) -> None:
    began = asyncio.Event()

    async def hang(_: httpx2.Request) -> httpx2.Response:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    jwks = Jwks(URL, "RS256", transport=httpx2.MockTransport(hang))
    with pytest.raises(UnavailableError):
        jwks.key("1")
    await began.wait()
    await jwks.stop()
    with pytest.raises(UnauthenticatedError):
        jwks.key("1")


async def test_actions_fetch_the_keys_at_the_start(tmp_path: Path) -> None:
    config = Config(
        data_dir=tmp_path, jwt_algorithm="RS256", jwt_jwks_url="http://127.0.0.1:1/keys"
    )
    clock = Clock()
    node = Node(config, clock)
    await node.start()
    assert isinstance(node.actions, Actions)
    with pytest.raises(UnauthenticatedError):
        node.actions.auth.authenticate(
            jwt.encode(
                {"sub": "a", "iat": clock.now, "exp": clock.now + 9},
                FIRST,
                "RS256",
                {"kid": "1"},
            )
        )
    await node.stop()
