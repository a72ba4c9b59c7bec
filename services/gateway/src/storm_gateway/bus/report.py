"""What a node tells the others of itself, every few seconds: for people who look (decision 0019),
and so that each knows its share of the connections (decision 0025).
"""

from typing import Annotated

import msgspec

REPORTS = "nodes.reports"
"""The topic of the reports; every node hears it."""

Name = Annotated[str, msgspec.Meta(max_length=256)]


class NodeReport(msgspec.Struct, tag="report", gc=False):
    """One node, a moment ago. JSON with names, so that nodes of two versions understand each other
    and a plain NATS client can read along. Rates are per second, over the time since the report
    before.
    """

    life: Name
    """Of one start of the node: another one after a restart."""
    node: Name
    version: Name = ""
    ready: bool = False
    started_at: Name = ""
    """RFC 3339."""
    connections: int = 0
    subscriptions: int = 0
    messages_per_second: float = 0
    """Stored by this node."""
    deliveries_per_second: float = 0
    """Events given to connections."""
    slow_consumers: int = 0
    """Connections closed with 4001 since the start."""
    loop_lag_seconds: float = 0
    """The worst since the report before."""
    memory_bytes: int = 0
    """Resident; 0 where the system does not say."""
    gone: bool = False
    """The node has ended: its last report."""
