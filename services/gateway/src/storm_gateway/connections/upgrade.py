"""From a request head to an open connection: origin, token, admission, in the cheapest order."""

from storm_gateway.actions.address import client_address
from storm_gateway.actions.identity import Identity
from storm_gateway.connections.edge import Edge
from storm_gateway.errors import StormError
from storm_gateway.protocol.handshake import (
    SUBPROTOCOL,
    RefusedHandshake,
    Request,
    accept_response,
    check_origin,
    check_upgrade,
)

PATH = "/ws"


class Accepted:
    """What the handshake found out."""

    __slots__ = ("address", "channel_id", "identity", "response", "subject")

    def __init__(
        self,
        identity: Identity,
        address: str,
        response: bytes,
        channel_id: int | None,
        subject: str | None,
    ) -> None:
        self.identity = identity
        self.address = address
        self.response = response
        self.channel_id = channel_id
        self.subject = subject


def accept(edge: Edge, request: Request, peer: str, now: float) -> Accepted:
    """Decide about an upgrade request. Raises :class:`RefusedHandshake`."""
    if request.path != PATH:
        raise RefusedHandshake(404, "not_found", f"WebSockets are at {PATH}.")
    key = check_upgrade(request)
    admission = edge.admission
    admission.check_node(now)
    address = peer
    if edge.trusted:
        address = client_address(peer, request.values("x-forwarded-for"), edge.trusted)
    admission.check_address(address)
    token, by_cookie, from_url = _token(request)
    check_origin(request, edge.origins, by_cookie=by_cookie)
    if token is None:
        raise _unauthenticated("Send a token: Authorization: Bearer, cookie or ?token=.")
    try:
        identity = edge.actions.auth.authenticate(token, ticket=from_url)
    except StormError as error:
        if error.status == 401:
            raise _unauthenticated(error.message) from None
        raise RefusedHandshake(error.status, error.code, error.message) from None
    admission.check_user(len(edge.hub.connections_of(identity.user_id)))
    channel_id, subject = _wanted(edge, request)
    offered = request.values("sec-websocket-protocol")
    return Accepted(
        identity,
        address,
        accept_response(key, subprotocol=SUBPROTOCOL in offered),
        channel_id,
        subject,
    )


def _unauthenticated(message: str) -> RefusedHandshake:
    return RefusedHandshake(401, "unauthenticated", message, headers="WWW-Authenticate: Bearer\r\n")


def _token(request: Request) -> tuple[str | None, bool, bool]:
    """(token, from a cookie, from the URL), looked for in the order of the contract."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthenticated("The header Authorization must say: Bearer <token>.")
        return token.strip(), False, False
    token = request.cookie("access_token") or ""
    if token:
        return token, True, False
    return request.parameter("token") or None, False, True


def _wanted(edge: Edge, request: Request) -> tuple[int | None, str | None]:
    channel = request.parameter("channel_id")
    subject = request.parameter("subject")
    if channel is not None and subject is not None:
        raise RefusedHandshake(400, "invalid_request", "Say channel_id or subject, not both.")
    if channel is not None:
        if not channel.isascii() or not channel.isdigit() or not 0 < int(channel[:17]) < 2**53:
            raise RefusedHandshake(400, "invalid_request", "channel_id is a positive integer.")
        return int(channel), None
    if subject is not None:
        try:
            edge.actions.streams.may_listen(subject)
        except StormError as error:
            raise RefusedHandshake(error.status, error.code, error.message) from None
    return None, subject
