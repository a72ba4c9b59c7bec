"""Access tokens signed with the node's secret, as another back end makes them.

The contract: an HS256 token with ``sub``, ``iat`` and ``exp``, signed with the configured secret,
is an access token, and a ``sub`` unknown so far becomes a user.
"""

import time

import jwt


def mint(secret: str, user_id: str, seconds: int = 3_600) -> str:
    """A token of the user, good for ``seconds``."""
    now = int(time.time())
    return jwt.encode({"sub": user_id, "iat": now, "exp": now + seconds}, secret, "HS256")
