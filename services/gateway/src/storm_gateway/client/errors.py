"""What can go wrong for a client.

::

    ClientError
    ├── RefusedError                the server refused a command or a request: code and sentence
    │   └── AuthenticationError     the token, or name and password, are not accepted
    ├── EndedError                  the connection ended and must not be opened again: close code
    └── UnreachableError            no answer now; the client tries again by itself
"""


class ClientError(Exception):
    """Base of all."""


class RefusedError(ClientError):
    """The server said no. ``code`` is one of the error codes of the protocol."""

    def __init__(self, code: str, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms


class AuthenticationError(RefusedError):
    """Nobody comes in with this. Log in again, or get another token."""


class EndedError(ClientError):
    """The connection ended for good. ``code`` is a close code of the protocol."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"The server ended the connection: {reason or 'no reason'} ({code})")
        self.code = code
        self.reason = reason


class UnreachableError(ClientError):
    """No connection, or a server that cannot answer now."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
