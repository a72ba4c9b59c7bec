"""Every refusal that a client can meet, once.

::

    StormError
    ├── InvalidCommandError     invalid_command     400  a WebSocket command that cannot be read
    ├── InvalidRequestError     invalid_request     400  a REST request that cannot be read
    ├── UnauthenticatedError    unauthenticated     401  no token, or a bad one
    ├── ForbiddenError          forbidden           403  known, but not allowed
    │   ├── BannedError         banned              403  from the channel, or the server
    │   └── AuthorMismatchError author_mismatch     403  a user_id that is not the token's subject
    ├── NotFoundError           not_found           404  no such thing, or none that you may see
    ├── MethodNotAllowedError   method_not_allowed  405
    ├── ConflictError           conflict            409  the state forbids it (last owner, own DM)
    │   └── NameTakenError      name_taken          409
    ├── PayloadTooLargeError    payload_too_large   413
    ├── UpgradeRequiredError    upgrade_required    426  GET /ws without Upgrade
    ├── RateLimitedError        rate_limited        429  says when to try again
    ├── LimitReachedError       limit_reached       409  a bound of design (channels per connection)
    ├── InternalError           internal            500  a fault of ours; says nothing more
    └── UnavailableError        unavailable         503  try again: the store or the bus is away

An error code is for a command or a request that failed: the connection lives on. Why a
connection ended is a close code (``protocol/close_codes.py``).
"""

from typing import ClassVar


class StormError(Exception):
    """A refusal with a code for programs and a sentence for people.

    ``message`` reaches the client, so it never holds internal text.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_ms = retry_after_ms


class InvalidCommandError(StormError):
    code = "invalid_command"
    status = 400


class InvalidRequestError(StormError):
    code = "invalid_request"
    status = 400


class UnauthenticatedError(StormError):
    code = "unauthenticated"
    status = 401


class ForbiddenError(StormError):
    code = "forbidden"
    status = 403


class BannedError(ForbiddenError):
    code = "banned"


class AuthorMismatchError(ForbiddenError):
    code = "author_mismatch"


class NotFoundError(StormError):
    code = "not_found"
    status = 404


class MethodNotAllowedError(StormError):
    code = "method_not_allowed"
    status = 405


class ConflictError(StormError):
    code = "conflict"
    status = 409


class NameTakenError(ConflictError):
    code = "name_taken"


class LimitReachedError(StormError):
    code = "limit_reached"
    status = 409


class PayloadTooLargeError(StormError):
    code = "payload_too_large"
    status = 413


class UpgradeRequiredError(StormError):
    code = "upgrade_required"
    status = 426


class RateLimitedError(StormError):
    code = "rate_limited"
    status = 429


class InternalError(StormError):
    code = "internal"
    status = 500


class UnavailableError(StormError):
    code = "unavailable"
    status = 503


def error_codes() -> dict[str, int]:
    """Every error code with its HTTP status; the documents are checked against it."""
    found: dict[str, int] = {}
    waiting: list[type[StormError]] = list(StormError.__subclasses__())
    while waiting:
        kind = waiting.pop()
        found[kind.code] = kind.status
        waiting.extend(kind.__subclasses__())
    return dict(sorted(found.items()))
