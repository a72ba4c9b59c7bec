"""A client for programs: connects, comes back, resumes. See ``docs/client.md``."""

from storm_gateway.client.errors import (
    AuthenticationError,
    ClientError,
    EndedError,
    RefusedError,
    UnreachableError,
)
from storm_gateway.client.gateway import GatewayClient
from storm_gateway.client.http import ChannelInfo
from storm_gateway.client.notices import (
    Backfilled,
    Connected,
    Disconnected,
    Rewound,
    SubscriptionLost,
)

__all__ = [
    "AuthenticationError",
    "Backfilled",
    "ChannelInfo",
    "ClientError",
    "Connected",
    "Disconnected",
    "EndedError",
    "GatewayClient",
    "RefusedError",
    "Rewound",
    "SubscriptionLost",
    "UnreachableError",
]
