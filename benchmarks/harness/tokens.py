"""One HS256 access token for each user, as another back end would sign them."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path

LIFE_SECONDS = 4 * 3600


def _part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token_of(secret: str, user: str) -> str:
    """The token of one user."""
    now = int(time.time())
    claims = {"sub": user, "iat": now, "exp": now + LIFE_SECONDS}
    signed = (
        _part(b'{"alg":"HS256","typ":"JWT"}')
        + b"."
        + _part(json.dumps(claims, separators=(",", ":")).encode())
    )
    signature = hmac.digest(secret.encode(), signed, hashlib.sha256)
    return (signed + b"." + _part(signature)).decode()


def write_tokens(path: Path, secret: str, users: int, first: int = 0) -> None:
    """Write the tokens of users from ``user-00000`` (or from number ``first``), one a line."""
    lines = [token_of(secret, f"user-{number:05}") for number in range(first, first + users)]
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
