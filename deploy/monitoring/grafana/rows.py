"""The rows of the dashboard, with their panels: each says what it shows, and what is well."""

from panel import GREEN, ORANGE, RED, Panel, Query, Row, by_node, quantiles, rate, stat

NODE = '{node=~"$node"}'
ROWS = (
    Row(
        "At a glance",
        (
            stat(
                "Nodes that deliver",
                "none",
                "sum(storm_ready)",
                "Nodes whose /readyz answers 200.",
                (None, RED),
                (1, GREEN),
            ),
            stat("Connections", "short", "sum(storm_active_websockets)", "Open now, on all nodes."),
            stat(
                "Messages a second",
                "short",
                f"sum({rate('storm_messages_total')})",
                "Stored and acknowledged.",
            ),
            stat(
                "Deliveries a second",
                "short",
                f"sum({rate('storm_deliveries_total')})",
                "Events written to connections.",
            ),
            stat(
                "Commands that fail",
                "percentunit",
                "storm:command_errors:ratio_rate1h",
                "Refused through a fault of ours, in the last hour. The promise: below 0.1 %.",
                (None, GREEN),
                (0.001, ORANGE),
                (0.0144, RED),
            ),
            stat(
                "Alerts",
                "none",
                'count(ALERTS{alertname=~"Storm.*", alertstate="firing"}) or vector(0)',
                "That fire now. Each has a heading in the runbook.",
                (None, GREEN),
                (1, RED),
            ),
        ),
    ),
    Row(
        "Connections",
        (
            Panel(
                "Connections by node",
                "short",
                by_node(f"sum by (node) (storm_active_websockets{NODE})"),
                "Nodes that share the work have about the same.",
                stacked=True,
            ),
            Panel(
                "Opened and closed",
                "ops",
                (
                    Query(f"sum({rate('storm_connections_total')})", "opened"),
                    Query(f"sum by (code) ({rate('storm_connections_closed_total')})", "{{code}}"),
                    Query(
                        f"sum by (reason) ({rate('storm_handshakes_refused_total')})",
                        "refused {{reason}}",
                    ),
                    Query(
                        f"sum by (status) ({rate('storm_requests_refused_total')})",
                        "unread {{status}}",
                    ),
                    Query(f"sum({rate('storm_rebalance_asked_total')})", "asked to move"),
                ),
                "Closed by close code: 1000 and 1001 are people who leave, 1006 a lost network, "
                "1012 a drain, 4001 a slow reader.",
            ),
            Panel(
                "Skew of the connections",
                "percentunit",
                (
                    Query(
                        "storm:connection_skew:ratio and on () storm:connections:sum > 100",
                        "fullest less emptiest, of the mean",
                    ),
                ),
                "How far apart the fullest and the emptiest node are. Above 50 % some node works "
                "for another. Shown from 100 connections on.",
            ),
        ),
    ),
    Row(
        "Messages",
        (
            Panel(
                "Deliveries by node",
                "ops",
                by_node(f"sum by (node) ({rate('storm_deliveries_total')})"),
                "Events written to connections.",
                stacked=True,
            ),
            Panel(
                "Messages by node",
                "ops",
                by_node(f"sum by (node) ({rate('storm_messages_total')})"),
                "Stored and acknowledged, by the node that took them.",
                stacked=True,
            ),
            Panel(
                "Coalescing: frames per write",
                "none",
                by_node(
                    f"sum by (node) ({rate('storm_deliveries_total')}) / "
                    f"sum by (node) ({rate('storm_writes_total')})"
                ),
                "Events that share one write. 1 at rest; it grows with the load, which is how a "
                "node gets through it.",
            ),
        ),
    ),
    Row(
        "Latency",
        (
            Panel(
                "From a message to its ack",
                "s",
                quantiles("storm_ack_duration_seconds"),
                "On the node: queue, commit, answer. The promise: 99 % within 250 ms.",
            ),
            Panel(
                "From an event to its deliveries",
                "s",
                quantiles("storm_delivery_duration_seconds"),
                "On the node, from its turn in the channel to each write. Of another node's "
                "message add its way through NATS. The promise: 99 % within 500 ms.",
            ),
            Panel(
                "From subscribe to live",
                "s",
                quantiles("storm_replay_duration_seconds"),
                "What a client that comes back waits for.",
            ),
            Panel(
                "Share that breaks the promise, 5 minutes",
                "percentunit",
                (
                    Query("storm:command_errors:ratio_rate5m", "commands that fail"),
                    Query("storm:acks_late:ratio_rate5m", "acks above 250 ms"),
                    Query("storm:deliveries_late:ratio_rate5m", "deliveries above 500 ms"),
                ),
                "Service levels. The budgets: 0.1 % of commands, 1 % of acks, 1 % of deliveries.",
                width=12,
            ),
            Panel(
                "Commands refused",
                "ops",
                (Query(f"sum by (code) ({rate('storm_command_errors_total')}) > 0", "{{code}}"),),
                "By error code. `unavailable` and `internal` are faults of ours; the rest the "
                "clients did wrong.",
                width=12,
            ),
        ),
    ),
    Row(
        "Slow clients",
        (
            Panel(
                "Outbox: bytes that wait",
                "bytes",
                by_node(f"sum by (node) (storm_outbox_bytes{NODE})"),
                "For clients that read more slowly than they are written to.",
            ),
            Panel(
                "Closed as too slow",
                "ops",
                by_node(f"sum by (node) ({rate('storm_slow_consumers_closed_total')})"),
                "With 4001. They come back and resume: nothing is lost.",
            ),
            Panel(
                "Ephemeral events dropped",
                "ops",
                by_node(f"sum by (node) ({rate('storm_ephemeral_dropped_total')})"),
                "Typing and presence that slow clients did not get. Messages are never dropped.",
            ),
        ),
    ),
    Row(
        "NATS",
        (
            Panel(
                "Events between nodes",
                "ops",
                (
                    Query(f"sum({rate('storm_bus_sent_events_total')})", "sent"),
                    Query(f"sum({rate('storm_bus_received_events_total')})", "received"),
                ),
                "Each event is sent once, and received by every node with a subscriber.",
            ),
            Panel(
                "Events per NATS message",
                "none",
                (
                    Query(
                        f"sum({rate('storm_bus_sent_events_total')}) / "
                        f"sum({rate('storm_bus_sent_messages_total')})",
                        "sent",
                    ),
                    Query(
                        f"sum({rate('storm_bus_received_events_total')}) / "
                        f"sum({rate('storm_bus_received_messages_total')})",
                        "received",
                    ),
                ),
                "Events of one commit travel together: 1 at rest, more under load.",
            ),
            Panel(
                "A canary through NATS and back",
                "s",
                quantiles("storm_probe_duration_seconds", 'dependency="bus"'),
                "Sent by /readyz. What another node's message takes, about.",
            ),
            Panel(
                "To hand a turn's events to NATS",
                "s",
                quantiles("storm_nats_publish_duration_seconds"),
                "It grows when NATS does not read fast enough.",
            ),
            Panel(
                "Repaired from the store",
                "ops",
                by_node(f"sum by (node) ({rate('storm_repaired_events_total')})"),
                "Events that NATS did not bring. Users lost nothing, but ask why.",
            ),
            Panel(
                "Faults of the bus",
                "ops",
                (
                    Query(f"sum by (kind) ({rate('storm_bus_errors_total')})", "{{kind}}"),
                    Query(f"sum({rate('storm_bus_reconnects_total')})", "reconnects"),
                ),
                "Nothing here is what is well.",
            ),
        ),
    ),
    Row(
        "Store",
        (
            Panel(
                "Commits",
                "s",
                quantiles("storm_commit_duration_seconds"),
                "Time of one group commit: mostly the disk.",
            ),
            Panel(
                "Writes in one commit",
                "none",
                (
                    Query(
                        f"sum by (node) ({rate('storm_commit_writes_sum')}) / "
                        f"sum by (node) ({rate('storm_commit_writes_count')})",
                        "{{node}}",
                    ),
                ),
                "It grows with the load: one commit costs nearly the same for many.",
            ),
            Panel(
                "Writes that wait for commit",
                "short",
                by_node(f"sum by (node) (storm_save_queue_length{NODE})"),
                "At STORM_COMMIT_QUEUE commands are refused as unavailable.",
            ),
            Panel(
                "What answers the probe",
                "none",
                (
                    Query(
                        f"min by (dependency) (storm_dependency_up{NODE})",
                        "{{dependency}}",
                    ),
                ),
                "1 while every node gets an answer from store, bus and presence in time.",
                most=1,
            ),
            Panel(
                "Time of the store's probe",
                "s",
                quantiles("storm_probe_duration_seconds", 'dependency="store"'),
                "A small question to the database.",
            ),
            Panel(
                "Events replayed from the store",
                "ops",
                by_node(f"sum by (node) ({rate('storm_replayed_events_total')})"),
                "To clients that come back.",
            ),
        ),
    ),
    Row(
        "Presence and limits (Valkey)",
        (
            Panel(
                "Entries",
                "short",
                by_node(f"sum by (node) (storm_presence_entries{NODE})"),
                "Users in channels that a node holds in Valkey.",
            ),
            Panel(
                "Exchanges with Valkey",
                "s",
                quantiles("storm_presence_exchange_duration_seconds"),
                "Of presence, once an interval.",
            ),
            Panel(
                "Faults",
                "ops",
                (
                    Query(f"sum({rate('storm_presence_errors_total')})", "presence"),
                    Query(f"sum({rate('storm_limits_errors_total')})", "limits"),
                    Query(f"sum({rate('storm_limits_local_decisions_total')})", "decided alone"),
                ),
                "Valkey failed or was late. Limits are then each node's own.",
            ),
        ),
    ),
    Row(
        "Nodes",
        (
            Panel(
                "Memory per connection",
                "bytes",
                by_node(
                    f"sum by (node) (process_resident_memory_bytes{NODE}) / "
                    f"(sum by (node) (storm_active_websockets{NODE}) > 100)"
                ),
                "All memory of the node, shared by its connections; shown from 100 of them on. An "
                "idle node holds some 90 MB.",
            ),
            Panel(
                "Memory",
                "bytes",
                by_node(f"sum by (node) (process_resident_memory_bytes{NODE})"),
                "Resident, shared pages included.",
            ),
            Panel(
                "Processor",
                "percentunit",
                by_node(f"sum by (node) ({rate('process_cpu_seconds_total')})"),
                "A node uses one processor, and a little of another for commits.",
            ),
            Panel(
                "Lag of the event loop",
                "s",
                quantiles("storm_loop_lag_seconds"),
                "How late a tick of one second comes.",
            ),
            Panel(
                "Garbage collection",
                "percentunit",
                by_node(f"sum by (node) ({rate('storm_gc_pause_seconds_sum')})"),
                "Share of the time in which the collector stops the node.",
            ),
            Panel(
                "Files open",
                "percentunit",
                by_node(f"storm:files_used:ratio{NODE}"),
                "At 90 % the node is full, and answers 503.",
                most=1,
            ),
        ),
    ),
)
