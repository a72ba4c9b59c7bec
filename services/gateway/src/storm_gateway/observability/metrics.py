"""Every metric, named once. ``GET /metrics`` shows them in Prometheus' text format.

Hot paths do not call the client library per event: they add to plain integers of
:class:`Counts`, which the exposition reads.
"""

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from storm_gateway.errors import error_codes
from storm_gateway.observability.times import SECONDS, Times


class Counts:
    """Numbers that hot paths add to. Gauges first, then counters, then times."""

    __slots__ = (
        "ack_times",
        "active_websockets",
        "bus_received_events",
        "bus_received_messages",
        "bus_sent_events",
        "bus_sent_messages",
        "commands",
        "connections",
        "deliveries",
        "delivery_times",
        "ephemeral_dropped",
        "messages",
        "outbox_bytes",
        "repaired",
        "replayed",
        "slow_consumers",
        "subscriptions",
        "writes",
        "writes_coalesced",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, Times() if name in TIMES else 0)

    active_websockets: int
    subscriptions: int
    outbox_bytes: int
    connections: int
    commands: int
    messages: int
    deliveries: int
    writes: int
    writes_coalesced: int
    ephemeral_dropped: int
    slow_consumers: int
    replayed: int
    repaired: int
    bus_sent_messages: int
    bus_sent_events: int
    bus_received_messages: int
    bus_received_events: int
    ack_times: Times
    delivery_times: Times


GAUGES = {
    "active_websockets": ("storm_active_websockets", "Connections open now."),
    "subscriptions": ("storm_subscriptions", "Subscriptions of connections to channels now."),
    "outbox_bytes": ("storm_outbox_bytes", "Bytes waiting for slow clients now."),
}
COUNTERS = {
    "connections": ("storm_connections", "Connections accepted."),
    "commands": ("storm_commands", "Commands received."),
    "messages": ("storm_messages", "Messages stored and acknowledged."),
    "deliveries": ("storm_deliveries", "Events delivered to connections."),
    "writes": ("storm_writes", "Writes to connections by the fan-out."),
    "writes_coalesced": ("storm_writes_coalesced", "Writes that carried more than one event."),
    "ephemeral_dropped": ("storm_ephemeral_dropped", "Ephemeral events not sent to slow clients."),
    "slow_consumers": ("storm_slow_consumers_closed", "Connections closed with 4001."),
    "replayed": ("storm_replayed_events", "Events replayed to returning clients."),
    "repaired": ("storm_repaired_events", "Events read from the store because the bus lost them."),
    "bus_sent_messages": ("storm_bus_sent_messages", "NATS messages sent."),
    "bus_sent_events": ("storm_bus_sent_events", "Events in the NATS messages sent."),
    "bus_received_messages": ("storm_bus_received_messages", "NATS messages received."),
    "bus_received_events": ("storm_bus_received_events", "Events in the NATS messages received."),
}
TIMES = {
    "ack_times": (
        "storm_ack_duration_seconds",
        "Time from a message command to its commit being told, refused ones left out.",
    ),
    "delivery_times": (
        "storm_delivery_duration_seconds",
        "Time from an event's turn on this node to its write to a connection. Each write counts; "
        "of events written together, the first one's time.",
    ),
}


class Metrics(Collector):
    """The metrics of one node, in a registry of their own (no globals: tests run many nodes)."""

    def __init__(self, node: str = "") -> None:
        """``node``: the label ``node`` of every sample; empty: no such label."""
        self.counts = Counts()
        self.registry = CollectorRegistry(auto_describe=False)
        self._shown: Collector = _OfNode(self.registry, node) if node else self.registry
        r = self.registry
        self.auth_rate_limited = Counter(
            "storm_auth_rate_limited", "Requests to /auth refused with 429.", registry=r
        )
        self.commands_rate_limited = Counter(
            "storm_commands_rate_limited", "Commands refused as rate_limited.", registry=r
        )
        self.command_errors = Counter(
            "storm_command_errors", "Commands refused, by error code.", ["code"], registry=r
        )
        for code in error_codes():
            # Shown as 0 from the start: the first one of a kind would not be seen as an increase.
            self.command_errors.labels(code)
        self.handshakes_refused = Counter(
            "storm_handshakes_refused", "Upgrades refused.", ["status", "reason"], registry=r
        )
        self.requests_refused = Counter(
            "storm_requests_refused",
            "Requests refused before they were read whole: too late, too large, no HTTP.",
            ["status"],
            registry=r,
        )
        self.connections_closed = Counter(
            "storm_connections_closed", "Connections ended, by close code.", ["code"], registry=r
        )
        self.publish_seconds = Histogram(
            "storm_nats_publish_duration_seconds",
            "Time to hand what one turn published to the bus, and with NATS to its socket.",
            registry=r,
            buckets=SECONDS,
        )
        self.bus_errors = Counter(
            "storm_bus_errors",
            "What went wrong on the bus, by kind; of dropped ones, each event.",
            ["kind"],
            registry=r,
        )
        self.bus_reconnects = Counter(
            "storm_bus_reconnects", "Connections to NATS made after one was lost.", registry=r
        )
        self.presence_entries = Gauge(
            "storm_presence_entries",
            "Users in channels that this node holds in Valkey: one for each user and channel.",
            registry=r,
        )
        self.presence_errors = Counter(
            "storm_presence_errors",
            "Exchanges of presence that Valkey failed or did not answer in time.",
            registry=r,
        )
        self.presence_resyncs = Counter(
            "storm_presence_resyncs",
            "Times this node compared all of its presence with Valkey: at the start, after errors.",
            registry=r,
        )
        self.presence_exchange_seconds = Histogram(
            "storm_presence_exchange_duration_seconds",
            "Time of an interval's exchange of presence with Valkey.",
            registry=r,
            buckets=SECONDS,
        )
        self.limits_errors = Counter(
            "storm_limits_errors",
            "Exchanges about limits that Valkey failed or did not answer in time.",
            registry=r,
        )
        self.limits_local = Counter(
            "storm_limits_local_decisions",
            "Decisions on shared limits that this node took alone because Valkey was away.",
            registry=r,
        )
        self.limits_refused = Counter(
            "storm_limits_refused_connections",
            "Connections closed because of what is true over all nodes.",
            ["reason"],
            registry=r,
        )
        self.commit_seconds = Histogram(
            "storm_commit_duration_seconds",
            "Time of one group commit.",
            registry=r,
            buckets=SECONDS,
        )
        self.commit_writes = Histogram(
            "storm_commit_writes",
            "Writes in one group commit.",
            registry=r,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
        )
        self.replay_seconds = Histogram(
            "storm_replay_duration_seconds",
            "Time from subscribe to live.",
            registry=r,
            buckets=SECONDS,
        )
        self.loop_lag_seconds = Histogram(
            "storm_loop_lag_seconds", "How late the event loop runs.", registry=r, buckets=SECONDS
        )
        self.gc_seconds = Histogram(
            "storm_gc_pause_seconds",
            "Pauses of the garbage collector.",
            registry=r,
            buckets=SECONDS,
        )
        self.save_queue_length = Gauge(
            "storm_save_queue_length", "Writes waiting for commit.", registry=r
        )
        self.nodes = Gauge(
            "storm_nodes", "Nodes that told lately what they do, this one included.", registry=r
        )
        self.connection_skew = Gauge(
            "storm_connection_skew",
            "Connections of this node above the mean of all nodes, as a share of the mean: 0.1 is "
            "a tenth above, negative is below.",
            registry=r,
        )
        self.rebalance_asked = Counter(
            "storm_rebalance_asked",
            "Connections asked to come back elsewhere because this node had more than its share.",
            registry=r,
        )
        self.ready = Gauge("storm_ready", "1 while /readyz answers 200.", registry=r)
        self.dependency_up = Gauge(
            "storm_dependency_up",
            "1 while it answers the probe of /readyz in time: bus, store, presence.",
            ["dependency"],
            registry=r,
        )
        self.probe_seconds = Histogram(
            "storm_probe_duration_seconds",
            "Time of a probe that was answered: for the bus, of a canary there and back.",
            ["dependency"],
            registry=r,
            buckets=SECONDS,
        )
        self.build = Gauge("storm_build_info", "Version of the node.", ["version"], registry=r)
        # Memory, processor and files of the process, under the names that every dashboard knows.
        ProcessCollector(registry=r)
        r.register(self)

    def exposition(self) -> bytes:
        """All of them in Prometheus' text format, each sample with the node's name."""
        return generate_latest(self._shown)

    def collect(self) -> Iterable[Metric]:
        for field, (name, text) in GAUGES.items():
            yield GaugeMetricFamily(name, text, value=getattr(self.counts, field))
        for field, (name, text) in COUNTERS.items():
            yield CounterMetricFamily(name, text, value=getattr(self.counts, field))
        for field, (name, text) in TIMES.items():
            times: Times = getattr(self.counts, field)
            yield times.family(name, text)


class _OfNode(Collector):
    """A registry whose samples all carry the node's name.

    Several nodes may be scraped through one address, or be gathered by something that keeps no
    address: then only this tells them apart.
    """

    def __init__(self, registry: CollectorRegistry, node: str) -> None:
        self._registry = registry
        self._label = {"node": node}

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            # Families are made anew for each exposition: nobody else has this one.
            family.samples = [
                sample._replace(labels=sample.labels | self._label) for sample in family.samples
            ]
            yield family


def metric_families() -> list[Metric]:
    """Every metric of ours, by name. Those of the process itself, ``process_…``, are left out: only
    some systems have them.
    """
    found = (family for family in Metrics().registry.collect() if family.name.startswith("storm_"))
    return sorted(found, key=lambda family: family.name)


def shown_name(family: Metric) -> str:
    """The name as ``/metrics`` shows it."""
    return family.name + ("_total" if family.type == "counter" else "")


def metric_names() -> list[str]:
    """The shown name of every metric of ours; the documents are checked against it."""
    return sorted(map(shown_name, metric_families()))
