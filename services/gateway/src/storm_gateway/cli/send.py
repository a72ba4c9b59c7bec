"""``storm send``: say something in a channel."""

import asyncio
import sys
from typing import Annotated

import typer

from storm_gateway.cli.common import fail, run, say, tell
from storm_gateway.cli.login import (
    As,
    LoginOptions,
    PasswordStdin,
    TokenStdin,
    Url,
    User,
    find_channel,
    make_client,
)
from storm_gateway.client import ClientError, GatewayClient, RefusedError


def send(
    channel: Annotated[
        str, typer.Argument(help="Name or id; @bob is the direct channel with bob.")
    ],
    text: Annotated[
        list[str], typer.Argument(help="The message; '-': one message a line of stdin.")
    ],
    url: Url = None,
    user: User = None,
    password_stdin: PasswordStdin = False,
    token_stdin: TokenStdin = False,
    as_user: As = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for the server, for each message.")
    ] = 30.0,
) -> None:
    """Send a message and wait until it is durable. Prints its seq.

    Exit status 1, with the reason, when it was refused or the server cannot be reached.
    """
    client = make_client(LoginOptions(url, user, password_stdin, token_stdin, as_user))
    run(_send(client, channel, text, timeout))


async def _send(client: GatewayClient, channel: str, text: list[str], seconds: float) -> None:
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
