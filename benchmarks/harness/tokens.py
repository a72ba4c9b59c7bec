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


def write_tokens(path: Path, secret: str, users: int) -> None:
    """Write the tokens of ``user-00000`` … to ``path``, one a line."""
    now = int(time.time())
    head = _part(b'{"alg":"HS256","typ":"JWT"}')
    lines = []
    for number in range(users):
        claims = {"sub": f"user-{number:05}", "iat": now, "exp": now + LIFE_SECONDS}
        signed = head + b"." + _part(json.dumps(claims, separators=(",", ":")).encode())
        signature = hmac.digest(secret.encode(), signed, hashlib.sha256)
        lines.append(signed + b"." + _part(signature) + b"\n")
    path.touch(mode=0o600)
    path.write_bytes(b"".join(lines))
