"""Who is where: the users, their tokens and channels, as the C program reads them."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TOKEN_SECONDS = 12 * 3_600


def _part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signer(secret: str) -> Callable[[str], str]:
    """Makes the token of a user; a hundred thousand of them in a second or two."""
    now = int(time.time())
    head = _part(b'{"alg":"HS256","typ":"JWT"}')
    times = f',"iat":{now},"exp":{now + TOKEN_SECONDS}}}'
    keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def sign(user: str) -> str:
        signed = head + b"." + _part(f'{{"sub":{json.dumps(user)}{times}'.encode())
        made = keyed.copy()
        made.update(signed)
        return (signed + b"." + _part(made.digest())).decode()

    return sign


def write(
    path: Path,
    users: int,
    token_of: Callable[[int], str],
    channels_of: Callable[[int], Sequence[int]],
    *,
    members: bool = False,
) -> None:
    """A line for each user: its token, and the channels, of which it joins the first, unless it is
    a member.
    """
    path.touch(mode=0o600)
    with path.open("w") as out:
        for number in range(users):
            channels = " ".join(map(str, channels_of(number)))
            out.write(f"{token_of(number)} {'0 ' if members else ''}{channels}\n")
