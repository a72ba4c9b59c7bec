"""``/publish``: events of services to ``/ws?subject=…``."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import PlainTextResponse, Response

from storm_gateway.actions.streams import DEFAULT_SUBJECT, SUBJECT_CHARACTERS, SUBJECT_PATTERN
from storm_gateway.api.edge import Edge, User
from storm_gateway.api.errors import TEXT, documented

router = APIRouter(tags=["streams"])
_PUBLISHED: dict[str, Any] = {
    "application/json": {"schema": {}},
    "text/plain": {"schema": {"type": "string"}},
}


@router.post(
    "/publish",
    operation_id="publish",
    status_code=202,
    response_class=Response,
    responses={202: TEXT, **documented(400, 401, 403, 413)},
    openapi_extra={"requestBody": {"required": False, "content": _PUBLISHED}},
)
async def publish(
    edge: Edge,
    request: Request,
    _: User,
    subject: Annotated[
        str,
        Query(
            pattern=SUBJECT_PATTERN,
            max_length=SUBJECT_CHARACTERS,
            description="A subject under the configured prefix.",
        ),
    ] = DEFAULT_SUBJECT,
) -> PlainTextResponse:
    """Tell everybody who listens to the subject now. Nothing is stored."""
    body = await request.body()
    edge.actions.streams.publish(subject, body, request.headers.get("content-type", ""))
    return PlainTextResponse("published", 202)
