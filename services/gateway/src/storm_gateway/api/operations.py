"""Health, metrics, and the two addresses that are no REST."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, PlainTextResponse, Response

from storm_gateway.api.edge import Edge
from storm_gateway.api.errors import TEXT, ErrorOut
from storm_gateway.api.models import ReasonsOut
from storm_gateway.errors import NotFoundError, UnavailableError, UpgradeRequiredError

router = APIRouter(tags=["operations"])
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@router.get("/healthz", operation_id="healthz", response_class=Response, responses={200: TEXT})
async def healthz() -> PlainTextResponse:
    """The process lives."""
    return PlainTextResponse("ok")


@router.get(
    "/readyz",
    operation_id="readyz",
    response_model=ReasonsOut,
    responses={503: {"model": ReasonsOut, "description": "The node does not deliver."}},
)
async def readyz(edge: Edge) -> Response:
    """The node delivers: bus, store, presence and event loop answer, and it does not drain."""
    reasons = await edge.health.ready()
    headers = {"Retry-After": "1"} if reasons else None
    return JSONResponse({"reasons": reasons}, 503 if reasons else 200, headers)


@router.get(
    "/ping-nats",
    operation_id="ping_nats",
    response_class=Response,
    responses={200: TEXT, 503: {"model": ErrorOut, "description": "The bus is away."}},
)
async def ping_nats(edge: Edge) -> PlainTextResponse:
    """Whether the bus is connected."""
    if not edge.health.bus_connected:
        raise UnavailableError("The bus is not connected.", retry_after_ms=1_000)
    return PlainTextResponse("nats ok")


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={200: {**TEXT, "description": "Prometheus' text format."}},
)
async def metrics(edge: Edge) -> Response:
    """What the node counts."""
    return Response(edge.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@router.get("/ws", include_in_schema=False)
async def websocket_expected() -> None:
    """An upgrade never comes here: it goes to the WebSocket edge."""
    raise UpgradeRequiredError("Connect to this address with a WebSocket.")


@router.api_route("/events", methods=_METHODS, include_in_schema=False)
async def events_are_gone() -> None:
    """Server-sent events are no more, and no other page may be served in their place."""
    raise NotFoundError("There are no server-sent events; connect to /ws with a WebSocket.")
