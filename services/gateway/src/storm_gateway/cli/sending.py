"""What ``storm send`` does."""

import asyncio
import sys

from storm_gateway.cli.common import fail, say, tell
from storm_gateway.cli.login import find_channel, make_client
from storm_gateway.cli.options import LoginOptions
from storm_gateway.client import ClientError, GatewayClient, RefusedError


async def send(options: LoginOptions, channel: str, text: list[str], seconds: float) -> None:
    """Connect, send, wait for the ack. Ends the command when there is none in so many seconds."""
    client = make_client(options)
    try:
        async with asyncio.timeout(seconds):
            await client.__aenter__()
    except TimeoutError:
        fail(f"no answer in {seconds:g} s: {client.trouble or 'the server is silent'}")
    try:
        channel_id, _ = await find_channel(client, channel)
        if text == ["-"]:
            await _send_lines(client, channel_id, seconds)
        else:
            say(f"seq {await _send_one(client, channel_id, ' '.join(text), seconds)}")
    finally:
        await client.close()


async def _send_one(client: GatewayClient, channel_id: int, text: str, seconds: float) -> int:
    try:
        async with asyncio.timeout(seconds):
            ack = await client.send(channel_id, text)
    except TimeoutError:
        raise ClientError(
            f"not confirmed in {seconds:g} s: {client.trouble or 'the server is slow'}"
        ) from None
    return ack.seq or 0


async def _send_lines(client: GatewayClient, channel_id: int, seconds: float) -> None:
    sent, number = 0, 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        number += 1
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        try:
            await _send_one(client, channel_id, text, seconds)
        except RefusedError as error:
            fail(f"line {number}: {error} ({sent} sent before it)")
        sent += 1
    tell(f"{sent} messages sent")
