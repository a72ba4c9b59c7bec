"""Refusals as JSON: ``{code, message, retry_after_ms?}``, whatever went wrong and wherever."""

import math
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from storm_gateway.actions.names import LINE_RULE, USER_ID_RULE
from storm_gateway.actions.streams import SUBJECT_RULE
from storm_gateway.errors import (
    InternalError,
    InvalidCommandError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    PayloadTooLargeError,
    StormError,
)

_SAID = 3
"""How many faults of one request are told at once."""
_RULES = {
    "user_id": USER_ID_RULE,
    "display_name": LINE_RULE,
    "name": LINE_RULE,
    "topic": "One line, without control characters.",
    "emoji": "1 to 32 characters, without spaces and control characters.",
    "payload": "A message must not be blank, nor hold NUL characters.",
    "subject": SUBJECT_RULE,
}
"""What is told in place of a regular expression."""
_MEANINGS = {
    400: "The request cannot be read, or says something impossible.",
    401: "No token, or a bad one.",
    403: "Known, but not allowed.",
    404: "There is no such thing, or none that you may see.",
    409: "The state of things forbids it.",
    413: "Too large.",
    429: "Too often; `Retry-After` says when to come back.",
    503: "Not now; the same request may work in a moment.",
}


class ErrorOut(BaseModel):
    """Why a request was refused: a code for programs, a sentence for people."""

    model_config = ConfigDict(
        title="Error",
        json_schema_extra={
            "example": {"code": "not_found", "message": "There is no such channel."}
        },
    )

    code: str = Field(description="snake_case, listed in docs/api.md")
    message: str
    retry_after_ms: int | None = Field(
        None, description="milliseconds after which the same request may work"
    )


TEXT: dict[str, Any] = {
    "description": "Plain text.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
"""An answer that is text, for the OpenAPI document."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for the OpenAPI document."""
    return {
        status: {"model": ErrorOut, "description": _MEANINGS[status]}
        for status in sorted({*statuses, 503})
    }


def error_response(error: StormError, headers: dict[str, str] | None = None) -> Response:
    """One refusal, with the headers that its status asks for."""
    fields: dict[str, object] = {"code": error.code, "message": error.message}
    headers = dict(headers or {})
    if error.retry_after_ms is not None:
        fields["retry_after_ms"] = error.retry_after_ms
    if error.status in (429, 503):
        headers["Retry-After"] = str(max(1, math.ceil((error.retry_after_ms or 1_000) / 1000)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 426:
        headers["Upgrade"] = "websocket"
        headers["Connection"] = "Upgrade"
    return Response(
        msgspec.json.encode(fields), error.status, headers, media_type="application/json"
    )


def internal_error() -> Response:
    """A fault of ours: nothing of it reaches the client."""
    return error_response(InternalError("This did not work; it is a fault of the server."))


def add_handlers(app: FastAPI) -> None:
    """Turn every exception that a route may raise into a refusal."""
    app.add_exception_handler(StormError, _storm_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)


async def _storm_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, StormError)  # noqa: S101 Starlette hands over what was registered
    if isinstance(error, InvalidCommandError):
        # Its code speaks of WebSocket commands.
        error = InvalidRequestError(error.message)
    return error_response(error)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 as above
    headers = dict(error.headers or {})
    refusal: StormError
    match error.status_code:
        case 404:
            refusal = NotFoundError("There is nothing here.")
        case 405:
            refusal = MethodNotAllowedError("This method is not for this path.")
            headers["Allow"] = ", ".join(sorted(_methods_of(request)))
        case 413:
            refusal = PayloadTooLargeError(error.detail)
            headers["Connection"] = "close"
        case _:
            refusal = InvalidRequestError(f"{error.detail.removesuffix('.')}.")
    return error_response(refusal, headers)


def _methods_of(request: Request) -> set[str]:
    """Every method of a path: routes know only their own."""
    found: set[str] = set()
    for route in request.app.state.routes:
        if isinstance(route, APIRoute) and route.path_regex.match(request.scope["path"]):
            found.update(route.methods or ())
    return found


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 as above
    return error_response(InvalidRequestError(said(error.errors())))


def said(faults: Any) -> str:
    """Where the request is wrong and how. What was sent is not repeated: it may be a password."""
    parts = []
    for fault in faults[:_SAID]:
        where = ".".join(str(part) for part in fault["loc"])
        what = fault["msg"]
        if fault["type"] == "string_pattern_mismatch":
            what = _RULES.get(str(fault["loc"][-1]), "This has characters that it may not have.")
        parts.append(f"{where}: {what}")
    return "; ".join(parts)
