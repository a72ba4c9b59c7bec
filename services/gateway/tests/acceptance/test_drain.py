"""Going away without a loss: SIGTERM under load."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from harness import Closed, Node, Process, Refused, all_of, token

Start = Callable[..., Awaitable[Process]]


async def test_sigterm_under_load_sends_everybody_away_and_loses_no_acked_message(
    start_process: Start, start_node: Callable[..., Awaitable[Node]], tmp_path: Path
) -> None:
    node = await start_process(drain_seconds=2, data_dir=tmp_path / "data")
    # 200 a second are sent away at most, so there are some seconds to look at a draining node.
    idle = await all_of(*(node.join(f"idle{n // 10}") for n in range(200)))
    senders = await all_of(*(node.join(f"sender{n}", "/ws?channel_id=1") for n in range(10)))
    acked: list[tuple[int, int, str]] = []
    under_load = asyncio.Event()

    async def send(number: int) -> Closed:
        peer, count = senders[number], 0
        try:
            while True:
                payload = f"{number}-{count}"
                ack = await peer.say(1, payload)
                acked.append((ack["seq"], ack["id"], payload))
                count += 1
                if len(acked) > 200:
                    under_load.set()
        except Closed as end:
            return end

    async def terminate() -> int:
        await under_load.wait()
        listening = await node.tcp()
        node.terminate()
        ready = await node.call(None, "GET", "/readyz")
        while ready.status_code == 200:
            ready = await node.call(None, "GET", "/readyz")
        assert ready.status_code == 503
        assert "draining" in ready.json()["reasons"]
        assert (await node.call(None, "GET", "/healthz")).status_code == 200
        with pytest.raises(Refused) as caught:
            await node.open(headers={"Authorization": f"Bearer {token('late')}"})
        assert caught.value.status == 503
        assert caught.value.json()["code"] == "unavailable"
        assert int(caught.value.headers["retry-after"]) >= 1
        assert await node.metric("storm_handshakes_refused_total", reason="draining") == 1
        await listening.drop()
        return await node.exit_status()

    async with asyncio.timeout(40):
        *ends, status = await all_of(
            *(send(number) for number in range(10)),
            *(peer.closed(30) for peer in idle),
            terminate(),
        )
    assert status == 0, node.log
    assert {end.code for end in ends} == {1012}
    delays = []
    for peer in [*idle, *senders]:
        (told,) = peer.of("reconnect")
        assert told["reason"] == "restart"
        delays.append(told["after_ms"])
    # Spread over the time of the drain, not all at once.
    assert max(delays) <= 2000
    assert len(set(delays)) > 100
    assert "Traceback" not in node.log

    after = await start_node(data_dir=tmp_path / "data")
    stored = {(m["seq"], m["id"], m["payload"]) for m in await after.history("sender0", 1)}
    assert len(acked) > 200
    assert not set(acked) - stored


async def test_an_idle_node_ends_at_once(start_process: Start) -> None:
    node = await start_process(drain_seconds=30)
    node.terminate()
    async with asyncio.timeout(15):
        assert await node.exit_status() == 0
    assert "Traceback" not in node.log


async def test_a_client_that_never_answers_the_close_does_not_hold_the_end(
    start_process: Start,
) -> None:
    node = await start_process()
    silent = await node.join("alice", "/ws?channel_id=1")
    half = await node.tcp()
    half.write(b"GET /heal")
    node.terminate()
    async with asyncio.timeout(15):
        assert await node.exit_status() == 0
    assert (await silent.closed()).code == 1012
