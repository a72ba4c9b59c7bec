"""Tokens, and every known way to forge one."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from actions_node import SECRET, Clock
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from storm_gateway.actions.tokens import TOKEN_BYTES, Tokens
from storm_gateway.config import Config
from storm_gateway.errors import UnauthenticatedError, UnavailableError

RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA_PUBLIC_PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def make(clock: Clock, tmp_path: Path, **settings: Any) -> Tokens:
    return Tokens(Config(data_dir=tmp_path, **settings), SECRET, None, clock=clock)


@pytest.fixture
def tokens(clock: Clock, tmp_path: Path) -> Tokens:
    return make(clock, tmp_path)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: dict[str, Any], claims: dict[str, Any], secret: bytes = SECRET.encode()) -> str:
    """A token with any header at all and a good HMAC-SHA256 of it."""
    body = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{body}.{b64(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"


def claims(clock: Clock, **more: Any) -> dict[str, Any]:
    return {"sub": "alice", "iat": clock.now, "exp": clock.now + 600, **more}


def foreign(clock: Clock, **more: Any) -> str:
    found = {name: value for name, value in claims(clock, **more).items() if value is not None}
    return signed({"alg": "HS256", "typ": "JWT"}, found)


def own(clock: Clock, **more: Any) -> str:
    mine = {"typ": "access", "iss": "storm", "sid": "s", "jti": "j", **more}
    return foreign(clock, **mine)


# --- good ones ---


def test_an_access_token_says_who_and_which_login(tokens: Tokens, clock: Clock) -> None:
    identity = tokens.verify(tokens.make_access("alice", "family"))
    assert (identity.user_id, identity.session_id) == ("alice", "family")
    assert (identity.issued_at, identity.expires_at) == (clock.now, clock.now + 900)
    assert not identity.foreign


def test_a_token_of_another_back_end_needs_sub_iat_and_exp_only(
    tokens: Tokens, clock: Clock
) -> None:
    identity = tokens.verify(foreign(clock))
    assert (identity.user_id, identity.session_id, identity.foreign) == ("alice", "", True)


def test_verified_tokens_are_remembered_until_they_expire(tokens: Tokens, clock: Clock) -> None:
    token = tokens.make_access("alice", "s")
    assert tokens.verify(token) is tokens.verify(token)
    clock.now += 899.9
    tokens.verify(token)
    clock.now += 0.1
    with pytest.raises(UnauthenticatedError, match="expired"):
        tokens.verify(token)


def test_only_so_many_tokens_are_remembered(clock: Clock, tmp_path: Path) -> None:
    tokens = Tokens(Config(data_dir=tmp_path), SECRET, None, clock=clock, remembered=2)
    first, *others = [tokens.make_access("alice", str(number)) for number in range(3)]
    identity = tokens.verify(first)
    for token in others:
        tokens.verify(token)
    assert tokens.verify(first) is not identity


# --- forgeries ---


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None])
def test_an_unsigned_token_is_refused_however_it_spells_none(
    tokens: Tokens, clock: Clock, algorithm: str | None
) -> None:
    header = {"alg": algorithm, "typ": "JWT"}
    body = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims(clock)).encode())}"
    for signature in ("", "x", b64(b"signature")):
        with pytest.raises(UnauthenticatedError):
            tokens.verify(f"{body}.{signature}")
    with pytest.raises(UnauthenticatedError):
        tokens.verify(signed(header, claims(clock)))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256"])
def test_another_algorithm_than_the_configured_one_is_refused(
    tokens: Tokens, clock: Clock, algorithm: str
) -> None:
    keys: dict[str, Any] = {
        "RS256": RSA_KEY,
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    if algorithm == "hs256":
        token = signed({"alg": algorithm}, claims(clock))
    else:
        token = jwt.encode(claims(clock), keys.get(algorithm, SECRET), algorithm=algorithm)
    with pytest.raises(UnauthenticatedError):
        tokens.verify(token)


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"b64": True},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MIIB"]},
        {"jwk": {"kty": "oct", "k": b64(b"my own secret of thirty-two bytes")}},
        {"zip": "DEF"},
    ],
)
def test_a_header_that_brings_its_own_key_or_rules_is_refused(
    tokens: Tokens, clock: Clock, header: dict[str, Any]
) -> None:
    with pytest.raises(UnauthenticatedError):
        tokens.verify(signed({"alg": "HS256", "typ": "JWT", **header}, claims(clock)))


def test_another_secret_is_refused(tokens: Tokens, clock: Clock) -> None:
    with pytest.raises(UnauthenticatedError):
        tokens.verify(signed({"alg": "HS256"}, claims(clock), b"x" * 32))


def test_a_changed_token_is_refused(tokens: Tokens) -> None:
    head, body, signature = tokens.make_access("alice", "s").split(".")
    padded = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    padded["sub"] = "mallory"
    for token in (
        f"{head}.{b64(json.dumps(padded).encode())}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body}.{signature}.{signature}",
        f".{body}.{signature}",
    ):
        with pytest.raises(UnauthenticatedError):
            tokens.verify(token)


@pytest.mark.parametrize(
    "token", ["", ".", "..", "x", "a.b.c", "é.é.é", "\ud800", "\x00" * 50, "e30.e30.e30"]
)
def test_what_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(UnauthenticatedError):
        tokens.verify(token)


def test_deep_and_strange_json_is_refused(tokens: Tokens) -> None:
    for header in (b"[" * 3_000, b'{"alg":' + b"[" * 3_000, b"\xff\xfe", b"[]", b'"HS256"', b"NaN"):
        with pytest.raises(UnauthenticatedError):
            tokens.verify(f"{b64(header)}.e30.{b64(b'x' * 32)}")
    head = b64(b'{"alg":"HS256"}')
    for body in (b"[" * 3_000, b"[]", b"\xff", b"1e999"):
        text = f"{head}.{b64(body)}"
        good = b64(hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest())
        with pytest.raises(UnauthenticatedError):
            tokens.verify(f"{text}.{good}")


def test_a_huge_token_is_refused_before_it_is_parsed(tokens: Tokens, clock: Clock) -> None:
    with pytest.raises(UnauthenticatedError, match="longer"):
        tokens.verify(foreign(clock, more="x" * TOKEN_BYTES))
    assert tokens.verify(foreign(clock, more="x" * 4_000)).user_id == "alice"


# --- claims ---


def test_an_expired_token_has_no_leeway(tokens: Tokens, clock: Clock) -> None:
    with pytest.raises(UnauthenticatedError, match="expired"):
        tokens.verify(foreign(clock, exp=clock.now))
    with pytest.raises(UnauthenticatedError, match="expired"):
        tokens.verify(foreign(clock, exp=clock.now - 1))
    tokens.verify(foreign(clock, exp=clock.now + 0.001))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_another_clock_may_be_ahead_by_a_minute(tokens: Tokens, clock: Clock, claim: str) -> None:
    tokens.verify(foreign(clock, **{claim: clock.now + 60}))
    with pytest.raises(UnauthenticatedError, match="not valid yet"):
        tokens.verify(foreign(clock, **{claim: clock.now + 61}))


@pytest.mark.parametrize("claim", ["sub", "iat", "exp"])
def test_a_missing_claim_is_refused(tokens: Tokens, clock: Clock, claim: str) -> None:
    with pytest.raises(UnauthenticatedError):
        tokens.verify(foreign(clock, **{claim: None}))


@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
@pytest.mark.parametrize(
    "value", ["1800000900", True, [], {}, float("nan"), float("inf"), -1, 10**400]
)
def test_a_time_that_is_no_time_is_refused(
    tokens: Tokens, clock: Clock, claim: str, value: Any
) -> None:
    with pytest.raises(UnauthenticatedError):
        tokens.verify(foreign(clock, **{claim: value}))


@pytest.mark.parametrize("subject", ["", ".", "..", "a b", "x" * 65, "a/b", 7, ["alice"], "a\n"])
def test_a_subject_that_is_no_user_id_is_refused_with_the_rule(
    tokens: Tokens, clock: Clock, subject: Any
) -> None:
    with pytest.raises(UnauthenticatedError):
        tokens.verify(foreign(clock, sub=subject))
    with pytest.raises(UnauthenticatedError, match="letters"):
        tokens.verify(foreign(clock, sub="a b"))


@pytest.mark.parametrize(
    "kind", ["refresh", "ticket", "ACCESS", "id", "", None, 1, ["access"], {"a": 1}]
)
def test_a_token_of_another_type_is_no_access_token(
    tokens: Tokens, clock: Clock, kind: Any
) -> None:
    body = claims(clock, iss="storm", sid="s", jti="j", typ=kind)
    with pytest.raises(UnauthenticatedError):
        tokens.verify(signed({"alg": "HS256"}, body))


def test_our_own_tokens_need_all_their_claims(tokens: Tokens, clock: Clock) -> None:
    tokens.verify(own(clock))
    for missing in ("iss", "sid", "jti"):
        with pytest.raises(UnauthenticatedError):
            tokens.verify(own(clock, **{missing: None}))
    with pytest.raises(UnauthenticatedError):
        tokens.verify(own(clock, iss="another"))


def test_issuer_and_audience_of_foreign_tokens_are_checked_when_configured(
    clock: Clock, tmp_path: Path
) -> None:
    tokens = make(clock, tmp_path, jwt_issuer="https://id.example", jwt_audience="chat")
    good = {"iss": "https://id.example", "aud": ["other", "chat"]}
    tokens.verify(foreign(clock, **good))
    tokens.verify(foreign(clock, **{**good, "aud": "chat"}))
    for wrong in (
        {"iss": None},
        {"iss": "https://id.example.evil"},
        {"aud": None},
        {"aud": "chats"},
        {"aud": ["other"]},
        {"aud": {"chat": 1}},
    ):
        with pytest.raises(UnauthenticatedError, match=r"issuer|audience"):
            tokens.verify(foreign(clock, **{**good, **wrong}))
    tokens.verify(tokens.make_access("alice", "s"))


# --- tickets ---


def test_a_ticket_is_good_once_and_only_where_tickets_are_taken(
    tokens: Tokens, clock: Clock
) -> None:
    ticket = tokens.make_ticket("alice", "family")
    with pytest.raises(UnauthenticatedError, match="not an access token"):
        tokens.verify(ticket)
    identity = tokens.verify(ticket, ticket=True)
    assert (identity.user_id, identity.session_id) == ("alice", "family")
    assert identity.expires_at == clock.now + 60
    with pytest.raises(UnauthenticatedError, match="used already"):
        tokens.verify(ticket, ticket=True)


def test_a_ticket_expires(tokens: Tokens, clock: Clock) -> None:
    ticket = tokens.make_ticket("alice", "s")
    clock.now += 60
    with pytest.raises(UnauthenticatedError, match="expired"):
        tokens.verify(ticket, ticket=True)


def test_an_access_token_is_taken_where_tickets_are_and_more_than_once(tokens: Tokens) -> None:
    token = tokens.make_access("alice", "s")
    tokens.verify(token, ticket=True)
    tokens.verify(token, ticket=True)


def test_used_tickets_are_forgotten_only_when_they_are_void(clock: Clock, tmp_path: Path) -> None:
    tokens = Tokens(Config(data_dir=tmp_path), SECRET, None, clock=clock, tickets=2)
    first, second, third = (tokens.make_ticket("alice", "s") for _ in range(3))
    tokens.verify(first, ticket=True)
    clock.now += 1
    tokens.verify(second, ticket=True)
    with pytest.raises(UnavailableError):
        tokens.verify(third, ticket=True)
    clock.now += 59
    late = tokens.make_ticket("alice", "s")
    tokens.verify(late, ticket=True)
    with pytest.raises(UnauthenticatedError):
        tokens.verify(first, ticket=True)
