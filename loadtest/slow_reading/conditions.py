"""Under which conditions it is measured: known to the course, the checks and the report."""

from dataclasses import dataclass

from common.node import Node

OUTBOX_BYTES = 1024 * 1024
"""The default of STORM_OUTBOX_CLOSE_BYTES; set explicitly, so that both sides agree."""
RECEIVE_BUFFER = 4_096
"""Bytes, of the sockets that will not be read."""
SENDERS = 10
SHARE = 0.1
"""Of the connections, that stop reading."""
PATIENCE_SECONDS = 3.0
"""After the first close, slow readers read again: the close frame waits 5 s for its answer."""
RETURN_SECONDS = 8.0
WARM_SECONDS = 3.0
SAMPLE_SECONDS = 0.25


@dataclass
class Scene:
    """What readers and senders of a run need."""

    node: Node
    channel: int = 0
    latencies: list[float] | None = None
    """In ms, where readers write them now; None: nowhere."""
    sending: bool = True
