"""Rows, bytes and traffic of a target: pure functions."""

import msgspec

from storm_gateway.capacity.calibration import Calibration
from storm_gateway.capacity.target import Target

ROW_BYTES = {"PostgreSQL": 440, "SQLite": 300}
"""A message with its indexes, as imported history took it (docs/operations.md, Sizing)."""
WAL_BYTES = 640
"""Of PostgreSQL's write-ahead log, for the same message."""
MEASURED_PAYLOAD = 60
"""The payload of that message, bytes."""
FREE_SHARE = 1.3
"""A disk of so many times the data: PostgreSQL needs room for its work."""
WAL_KEPT = 4 * 1024**3
"""Room for the write-ahead log."""
WRITE_BYTES = 52
"""IP and TCP headers of a segment, with time stamps."""
IDLE_BYTES = 200
"""Ping, heartbeat and their headers, to each connection every 30 seconds."""
MONTH_DAYS = 30
_ACK_BYTES = 60 + WRITE_BYTES


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """What the database holds. Bytes."""

    database: str
    rows_per_month: float
    bytes_per_month: float
    wal_bytes_per_month: float
    rows: float
    """After all days of history."""
    data_bytes: float
    disk_bytes: float


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """To the clients."""

    bytes_per_second: float
    """In the busy hours."""
    bytes_per_month: float


def storage(target: Target, *, embedded: bool) -> Storage:
    """Messages are kept for as many days as the target says."""
    name = "SQLite" if embedded else "PostgreSQL"
    beyond = target.payload_bytes - MEASURED_PAYLOAD
    day = target.messages_per_second * target.busy_hours * 3_600
    row = ROW_BYTES[name] + beyond
    wal = 0 if embedded else WAL_BYTES + beyond
    data = day * target.history_days * row
    return Storage(
        database=name,
        rows_per_month=day * MONTH_DAYS,
        bytes_per_month=day * MONTH_DAYS * row,
        wal_bytes_per_month=day * MONTH_DAYS * wal,
        rows=day * target.history_days,
        data_bytes=data,
        disk_bytes=data * FREE_SHARE + (0 if embedded else WAL_KEPT),
    )


def traffic(target: Target, calibration: Calibration) -> Traffic:
    """Deliveries, acks, pings and heartbeats with their headers, without TLS."""
    event = calibration.event_bytes + target.payload_bytes + WRITE_BYTES / target.frames_per_write
    idle = target.connections * IDLE_BYTES / 30
    busy = target.deliveries_per_second * event + target.messages_per_second * _ACK_BYTES
    return Traffic(
        bytes_per_second=busy + idle,
        bytes_per_month=MONTH_DAYS * 3_600 * (busy * target.busy_hours + idle * 24),
    )
