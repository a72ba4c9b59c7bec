"""Durable messages that are acknowledged a second, and who used the processors meanwhile.

200 senders on the nodes of a cluster, each sends its next message when an older one was
acknowledged. On every node one listener of each channel counts: what was acknowledged must have
reached all of them, once.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cluster.parts import WORK, Rest, Shares, cluster, token
from harness.client import LoadClient, spread_client
from harness.progress import say
from harness.tokens import write_tokens

from storm_gateway.stack.stack import Stack

SENDERS = 200
CHANNELS = 10
WINDOWS = (1, 8)
ARRIVE_SECONDS = 20.0


@contextmanager
def _clients(stack: Stack, program: Path, channels: int) -> Iterator[list[LoadClient]]:
    each = SENDERS // len(stack.nodes)
    with ExitStack() as stay:
        clients = []
        for number, node in enumerate(stack.nodes):
            tokens = WORK / f"tokens-{number}"
            write_tokens(tokens, stack.secret, each + channels, number * (each + channels))
            client = stay.enter_context(spread_client(program, node.port, tokens, channels))
            client.open(each + channels)
            for sender in range(each):
                channel = 1 + sender % channels
                client.say(sender, 1, f'{{"type":"unsubscribe","channel_id":{channel}}}')
            clients.append(client)
        time.sleep(1)
        yield clients


def _load(stack: Stack, clients: list[LoadClient], window: int, seconds: float) -> dict[str, Any]:
    each = SENDERS // len(clients)
    before = [client.state()["messages"] for client in clients]
    shares = Shares(stack, {f"load client {n}": client.pid for n, client in enumerate(clients, 1)})
    with ThreadPoolExecutor(len(clients)) as pool:
        asked = [pool.submit(client.acks, each, window, seconds) for client in clients]
        answers = [answer.result() for answer in asked]
    cores = shares.read()
    acked = sum(answer["acked"] for answer in answers)
    # The channels' members are spread evenly, so each node's listeners hear all of them.
    patience = time.monotonic() + ARRIVE_SECONDS
    while True:
        received = [
            client.state()["messages"] - was for client, was in zip(clients, before, strict=True)
        ]
        if all(count == acked for count in received):
            break
        if time.monotonic() > patience:
            raise RuntimeError(f"{acked} acks, but the nodes' listeners received {received}")
        time.sleep(0.2)
    return {
        "window": window,
        "per_second": sum(answer["acked_in_time"] for answer in answers) / seconds,
        "ms_p50": sum(answer["ms_p50"] for answer in answers) / len(answers),
        "ms_p99": max(answer["ms_p99"] for answer in answers),
        "cores": cores,
    }


def measure(
    program: Path, seconds: float, *, nodes: int = 4, batch: int | None = None
) -> dict[str, Any]:
    """The loads of one cluster. ``batch`` 1: a commit for each message."""
    settings = {} if batch is None else {"STORM_COMMIT_BATCH": str(batch)}
    found: dict[str, Any] = {}
    with cluster(nodes, settings=settings) as stack:
        Rest(stack.nodes[0], token(stack, "maker")).channels(CHANNELS)
        with _clients(stack, program, CHANNELS) as clients:
            _load(stack, clients, 1, 1.0)
            for window in WINDOWS:
                found[f"window_{window}"] = load = _load(stack, clients, window, seconds)
                say(
                    f"batch {batch or 'as usual'}, {window} outstanding: "
                    f"{load['per_second']:,.0f}/s, p99 {load['ms_p99']:.0f} ms"
                )
    return found
