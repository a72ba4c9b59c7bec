"""Whose address a request came from, behind proxies or not."""

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_networks(text: str) -> Networks:
    """Addresses and networks, comma-separated (``STORM_TRUSTED_PROXIES``).

    Raises ``ValueError`` that names the part that is neither.
    """
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def client_address(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The address of the client that ``peer`` speaks for.

    ``forwarded`` holds the values of every ``X-Forwarded-For`` header in order. They are believed
    only from a trusted peer, read from the right, and only up to the first hop that is not
    trusted itself: everything left of it is what that hop claims, so anybody could have written
    it. Something that is no address ends the reading too.
    """
    address = _parse(peer)
    if address is None:
        return peer
    if _is_in(address, trusted):
        hops = [hop for value in forwarded for hop in value.split(",")]
        for hop in reversed(hops):
            found = _parse(hop)
            if found is None:
                break
            address = found
            if not _is_in(address, trusted):
                break
    return str(address)


def is_trusted(peer: str, trusted: Networks) -> bool:
    """Whether what ``peer`` says of a request (``X-Forwarded-Proto``) may be believed."""
    address = _parse(peer)
    return address is not None and _is_in(address, trusted)


def limit_key(address: str) -> str:
    """What a limit per address counts by: an IPv6 client has a whole /64 to come from."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return address


def _is_in(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address as peers and proxies write it: bare, with a port, bracketed, with a zone."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # The same client must not have two names on a dual-stack socket.
    return getattr(address, "ipv4_mapped", None) or address
