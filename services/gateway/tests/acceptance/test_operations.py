"""What operators look at: health, readiness and metrics tell what happened."""

from harness import WAIT_SECONDS, Node, all_of, frame, token

from storm_gateway.observability.metrics import metric_names


async def test_health_and_readiness_answer_what_the_contract_says(node: Node) -> None:
    for path, text in (("/healthz", "ok"), ("/ping-nats", "nats ok")):
        answer = await node.call(None, "GET", path)
        assert (answer.status_code, answer.text) == (200, text)
        assert answer.headers["content-type"].startswith("text/plain")
    answer = await node.call(None, "GET", "/readyz")
    assert (answer.status_code, answer.json()) == (200, {"reasons": []})
    assert await node.metric("storm_ready") == 1
    events = await node.call(None, "GET", "/events", headers={"Accept": "text/event-stream"})
    assert events.status_code == 404


async def test_the_metrics_count_what_happened(node: Node) -> None:
    peers = await all_of(*(node.join(f"user{n}", "/ws?channel_id=1") for n in range(5)))
    # Each hears of those who joined after it; then nothing is under way.
    head = max(peer.of("subscribed")[0]["head"] for peer in peers)
    for peer in peers:
        if peer.of("subscribed")[0]["head"] < head:
            await peer.until("member.joined", seq=head)
    before = await node.metric("storm_deliveries_total")
    written = await node.metric("storm_delivery_duration_seconds_count")
    assert await node.metric("storm_active_websockets") == 5
    assert await node.metric("storm_subscriptions") == 5
    assert await node.metric("storm_connections_total") == 5
    for number in range(10):
        last = await peers[0].say(1, f"{number}")
    for peer in peers:
        await peer.until("message", seq=last["seq"])
    assert await node.metric("storm_messages_total") == 10
    assert await node.metric("storm_deliveries_total") >= before + 50
    assert await node.metric("storm_commands_total") >= 10
    assert await node.metric("storm_commit_writes_count") >= 10
    assert await node.metric("storm_ack_duration_seconds_count") == 10
    # Each message came to five connections, in as many writes or in fewer, joined with others.
    assert 5 <= await node.metric("storm_delivery_duration_seconds_count") - written <= 50
    for name in ("ack", "delivery"):
        took = await node.metric(f"storm_{name}_duration_seconds_sum")
        assert 0 < took < 50 * WAIT_SECONDS
    assert await node.metric("storm_nats_publish_duration_seconds_count") >= 10
    assert await peers[1].goodbye() == 1000
    await peers[2].drop()
    await node.metric_becomes("storm_active_websockets", lambda value: value == 3)
    text = (await node.http.get(f"{node.url}/metrics")).text
    name = peers[0].of("hello")[0]["node"]
    assert f'storm_connections_closed_total{{code="1000",node="{name}"}} 1.0' in text
    assert f'storm_connections_closed_total{{code="1006",node="{name}"}} 1.0' in text
    returned = await node.join("user1")
    await returned.subscribe(1, since=last["seq"] - 5)
    await returned.until("message", seq=last["seq"])
    assert await node.metric("storm_replayed_events_total") == 5
    await node.metric_becomes("storm_save_queue_length", lambda value: value == 0)


async def test_a_refused_command_is_counted_by_its_error_code(node: Node) -> None:
    peer = await node.join("user1", "/ws?channel_id=1")
    for code, data in (
        ("invalid_command", b"no JSON"),
        ("author_mismatch", b'{"type":"message","channel_id":1,"payload":"x","user_id":"user2"}'),
    ):
        peer.write(frame(1, data))
        await peer.until("error", code=code)
        assert await node.metric("storm_command_errors_total", code=code) == 1
    assert await node.metric("storm_ack_duration_seconds_count") == 0


async def test_the_readiness_probe_says_which_dependency_answers(node: Node) -> None:
    assert (await node.call(None, "GET", "/readyz")).status_code == 200
    for name in ("bus", "store", "presence"):
        assert await node.metric("storm_dependency_up", dependency=name) == 1
        probed = await node.metric("storm_probe_duration_seconds_count", dependency=name)
        assert probed >= 1


async def test_a_burst_leaves_in_fewer_writes_than_events(node: Node) -> None:
    peers = await all_of(*(node.join(f"user{n}", "/ws?channel_id=1") for n in range(20)))
    # One group commit of many messages: their frames leave joined.
    burst = b"".join(
        frame(1, b'{"type":"message","channel_id":1,"payload":"%d"}' % number)
        for number in range(500)
    )
    peers[0].write(burst)
    await all_of(*(peer.until("message", payload="499") for peer in peers))
    coalesced = await node.metric("storm_writes_coalesced_total")
    assert coalesced > 0
    assert await node.metric("storm_writes_total") < await node.metric("storm_deliveries_total")
    assert await node.metric("storm_messages_total") == 500
    assert await node.metric("storm_commit_writes_sum") >= 500
    assert await node.metric("storm_commit_writes_count") < 500


async def test_every_metric_that_is_documented_is_shown(node: Node) -> None:
    text = (await node.http.get(f"{node.url}/metrics")).text
    shown = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert set(metric_names()) <= shown
    assert token("alice") not in text
