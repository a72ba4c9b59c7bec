"""Why a connection ended. The number alone tells the client what to do.

Standard codes (RFC 6455 § 7.4.1 and the IANA registry) where they fit. Private ones:
4000-4499 reconnect, 4500-4999 do not.
"""

from enum import IntEnum


class CloseCode(IntEnum):
    """Every close code that STORM sends."""

    NORMAL = 1000
    """The client said goodbye; the server echoes it. Do not reconnect."""
    GOING_AWAY = 1001
    """The page is left. Do not reconnect."""
    PROTOCOL_ERROR = 1002
    """Bytes that break RFC 6455. Mend the client, then reconnect."""
    INVALID_DATA = 1007
    """A text message that is not UTF-8."""
    MESSAGE_TOO_BIG = 1009
    """A message over the frame limit, all fragments together."""
    INTERNAL_ERROR = 1011
    """A fault of the server. Reconnect with backoff."""
    SERVICE_RESTART = 1012
    """The node drains, or has more connections than its share. Reconnect after the ``after_ms`` of
    the ``reconnect`` event.
    """
    TRY_AGAIN_LATER = 1013
    """The node is full. Reconnect later."""

    KEEPALIVE_MISSED = 4000
    """Nothing came from the client for too long. Reconnect and resume."""
    SLOW_CONSUMER = 4001
    """The outbox passed its bound. Reconnect and resume: nothing is lost."""
    TOKEN_EXPIRED = 4002
    """The token ended and was not renewed. Get one, then reconnect."""
    RATE_LIMITED = 4003
    """Commands went on after ``rate_limited`` errors. Reconnect after the delay."""

    AUTHENTICATION_FAILED = 4500
    """The token was revoked or refused. Log in again."""
    BAD_COMMANDS = 4501
    """The client speaks something else than this protocol. Mend the client."""
    TOO_MANY_CONNECTIONS = 4502
    """The user has too many connections."""
    FORBIDDEN = 4503
    """The user was removed from the server, or banned."""


def may_reconnect(code: int) -> bool:
    """Whether a client should open a new connection by itself after this close code."""
    if 4000 <= code <= 4999:
        return code <= 4499
    return code not in (1000, 1001, 1002, 1003, 1007, 1009, 1010)
