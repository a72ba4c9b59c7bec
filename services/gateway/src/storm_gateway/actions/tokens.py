"""JSON Web Tokens: made here, or by another back end that shares the secret or has a key set.

What a token may be is fixed by the configuration, never by the token (decision 0006): our own are
HS256 with ``typ`` and ``iss``; foreign ones have no ``typ`` and the one configured algorithm.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Any, Literal

import jwt
from jwt.types import SigOptions
from msgspec import MsgspecError, json

from storm_gateway.actions.identity import Identity
from storm_gateway.actions.jwks import Jwks
from storm_gateway.actions.lately import Lately
from storm_gateway.actions.names import USER_ID_RULE, is_user_id
from storm_gateway.config import Config
from storm_gateway.errors import UnauthenticatedError, UnavailableError

ISSUER = "storm"
TOKEN_BYTES = 8 * 1024
LEEWAY_SECONDS = 60
"""How far another machine's clock may be ahead for ``iat`` and ``nbf``; ``exp`` has none."""
REMEMBERED = 65_536
TICKETS = 262_144

Kind = Literal["access", "ticket"]

_REFUSED_HEADERS = ("crit", "jku", "jwk", "x5u", "x5c", "b64", "zip")
"""Headers that bring a key or change the rules: RFC 8725 § 3.10 says not to follow them."""
_BAD = "This token is not valid."
_SUCCESSOR = b"storm refresh token successor 1\0"
"""What the secret signs here; no JWT can begin like this, so neither can stand for the other."""
_ENFORCED: SigOptions = {"verify_signature": True, "enforce_minimum_key_length": True}


class _PreparedHmac(jwt.algorithms.HMACAlgorithm):
    """HMAC with a key that is bytes already: PyJWT would search it for PEM marks each time."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()


class Tokens:
    """Makes and verifies tokens. Synchronous: a connection is opened without a task."""

    def __init__(
        self,
        config: Config,
        secret: str,
        jwks: Jwks | None,
        *,
        clock: Callable[[], float] = time.time,
        remembered: int = REMEMBERED,
        tickets: int = TICKETS,
    ) -> None:
        self._config = config
        self._secret = secret.encode()
        self._jwks = jwks
        self._clock = clock
        self._known = Lately[bytes, Identity](remembered)
        self._used: dict[str, float] = {}
        self._used_size = tickets
        self._jws = jwt.PyJWS()
        # The secret was looked at once, when the configuration was read.
        self._jws.unregister_algorithm("HS256")
        self._jws.register_algorithm("HS256", _PreparedHmac(jwt.algorithms.HMACAlgorithm.SHA256))

    def make_access(self, user_id: str, session_id: str) -> str:
        return self._make("access", user_id, session_id, self._config.access_token_seconds)

    def make_ticket(self, user_id: str, session_id: str) -> str:
        """Good once, soon, and only as ``?token=`` of ``/ws``: it may end up in a proxy's log."""
        return self._make("ticket", user_id, session_id, self._config.ticket_seconds)

    def verify(self, token: str, *, ticket: bool = False) -> Identity:
        """Whose token it is. ``ticket``: a ticket is accepted too, and consumed by it.

        Raises ``UnauthenticatedError`` with a reason that helps an integrator and tells an
        attacker nothing; ``UnavailableError`` while the key that it names is being fetched.
        """
        if len(token) > TOKEN_BYTES:
            raise UnauthenticatedError(f"This token is longer than {TOKEN_BYTES} bytes.")
        if not token.isascii():
            raise UnauthenticatedError(_BAD)
        key = hashlib.sha256(token.encode()).digest()
        found = self._known.get(key)
        if found is not None and found.expires_at > self._clock():
            return found
        claims, algorithm = self._decode(token)
        identity = self._identity(claims, algorithm, ticket)
        if identity.ticket_id:
            self._consume(identity.ticket_id, identity.expires_at)
        else:
            self._known.put(key, identity)
        return identity

    def trim(self) -> None:
        """Some time has passed: let go of verified tokens that nobody used in it."""
        self._known.turn()

    def successor(self, refresh_token: str) -> str:
        """The refresh token that follows this one: the same on every node, and known to nobody
        without the secret.
        """
        message = _SUCCESSOR + refresh_token.encode("utf-8", "surrogateescape")
        digest = hmac.digest(self._secret, message, "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def _make(self, kind: Kind, user_id: str, session_id: str, seconds: int) -> str:
        now = self._clock()
        claims = {
            "sub": user_id,
            # A fraction: a password change voids what was issued before that very moment.
            "iat": now,
            "exp": now + seconds,
            "typ": kind,
            "sid": session_id,
            "iss": ISSUER,
            "jti": secrets.token_urlsafe(16),
        }
        return self._jws.encode(json.encode(claims), self._secret, algorithm="HS256")

    def _decode(self, token: str) -> tuple[dict[str, Any], str]:
        """The claims behind a good signature, and its algorithm.

        The header chooses between at most two pairs of algorithm and key, each bound to the
        other, so a public key can never serve as a secret.
        """
        try:
            algorithm, key = self._key_for(token)
            verified = self._jws.decode_complete(
                token, key, algorithms=[algorithm], options=_ENFORCED
            )
            claims = json.decode(verified["payload"], type=dict[str, Any])
        except jwt.InvalidAlgorithmError:
            raise UnauthenticatedError("This token is signed with another algorithm.") from None
        except (jwt.PyJWTError, MsgspecError, ValueError, RecursionError):
            raise UnauthenticatedError(_BAD) from None
        if any(name in verified["header"] for name in _REFUSED_HEADERS):
            raise UnauthenticatedError("This token has a header that is not accepted.")
        return claims, algorithm

    def _key_for(self, token: str) -> tuple[str, Any]:
        if self._jwks is None:
            # One algorithm and one key: nothing in the token is asked.
            return "HS256", self._secret
        header = self._jws.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm == "HS256":
            return "HS256", self._secret
        if algorithm == self._config.jwt_algorithm:
            return algorithm, self._jwks.key(header.get("kid"))
        raise jwt.InvalidAlgorithmError

    def _identity(self, claims: dict[str, Any], algorithm: str, ticket: bool) -> Identity:
        now = self._clock()
        own = algorithm == "HS256" and "typ" in claims
        if own:
            self._check_own(claims, ticket)
        else:
            self._check_foreign(claims, algorithm)
        expires_at, issued_at = _moment(claims, "exp"), _moment(claims, "iat")
        if expires_at <= now:
            raise UnauthenticatedError("This token has expired.")
        latest = now + LEEWAY_SECONDS
        if issued_at > latest or ("nbf" in claims and _moment(claims, "nbf") > latest):
            raise UnauthenticatedError("This token is not valid yet.")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not is_user_id(subject):
            raise UnauthenticatedError(f"The subject of this token is no user id. {USER_ID_RULE}")
        session_id = claims["sid"] if own else ""
        ticket_id = claims["jti"] if own and claims["typ"] == "ticket" else ""
        return Identity(subject, session_id, issued_at, expires_at, not own, ticket_id)

    def _check_own(self, claims: dict[str, Any], ticket: bool) -> None:
        kind = claims["typ"]
        if kind not in ("access", "ticket") or (kind == "ticket" and not ticket):
            raise UnauthenticatedError("This token is not an access token.")
        if (
            claims.get("iss") != ISSUER
            or not isinstance(claims.get("sid"), str)
            or not isinstance(claims.get("jti"), str)
        ):
            raise UnauthenticatedError(_BAD)

    def _check_foreign(self, claims: dict[str, Any], algorithm: str) -> None:
        config = self._config
        if algorithm != config.jwt_algorithm:
            raise UnauthenticatedError("This token is signed with another algorithm.")
        # Some identity providers mark theirs in the claims: 'Bearer' is an access token's mark.
        if claims.get("typ", "Bearer") != "Bearer":
            raise UnauthenticatedError("This token is not an access token.")
        if config.jwt_issuer and claims.get("iss") != config.jwt_issuer:
            raise UnauthenticatedError("This token comes from another issuer.")
        if config.jwt_audience:
            audience = claims.get("aud")
            if config.jwt_audience not in (audience if isinstance(audience, list) else [audience]):
                raise UnauthenticatedError("This token is for another audience.")

    def _consume(self, jti: str, expires_at: float) -> None:
        now = self._clock()
        # Tickets live equally long, so the oldest entries are the first to go.
        while self._used:
            oldest = next(iter(self._used))
            if self._used[oldest] > now:
                break
            del self._used[oldest]
        if jti in self._used:
            raise UnauthenticatedError("This ticket was used already.")
        if len(self._used) >= self._used_size:
            # Forgetting one that is still good would let it be used twice.
            raise UnavailableError("Too many tickets at once.", retry_after_ms=5_000)
        self._used[jti] = expires_at


def _moment(claims: dict[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 § 2) as seconds; nothing else is taken for one."""
    value = claims.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= 253_402_300_799
    ):
        raise UnauthenticatedError(f"This token has no valid '{name}'.")
    return float(value)
