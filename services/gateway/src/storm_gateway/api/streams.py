"""``/publish``: events of services to ``/ws?subject=…``."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import PlainTextResponse

from storm_gateway.actions.streams import DEFAULT_SUBJECT
from storm_gateway.api.edge import Edge, User
from storm_gateway.api.errors import documented
from storm_gateway.api.models import body_schema

router = APIRouter(tags=["streams"])


@router.post(
    "/publish",
    operation_id="publish",
    status_code=202,
    response_class=PlainTextResponse,
    responses=documented(400, 401, 403, 413),
    openapi_extra=body_schema("application/json", "text/plain"),
)
async def publish(
    edge: Edge,
    request: Request,
    _: User,
    subject: Annotated[str, Query(description="A subject under the configured prefix.")] = (
        DEFAULT_SUBJECT
    ),
) -> PlainTextResponse:
    """Tell everybody who listens to the subject now. Nothing is stored."""
    body = await request.body()
    edge.actions.streams.publish(subject, body, request.headers.get("content-type", ""))
    return PlainTextResponse("published", 202)
