"""What ``storm tail`` does."""

import asyncio
import os
import sys

import typer

from storm_gateway.cli.common import say
from storm_gateway.cli.login import find_channel, make_client
from storm_gateway.cli.options import LoginOptions
from storm_gateway.cli.screen import Screen
from storm_gateway.cli.show import Lines, as_json
from storm_gateway.client import GatewayClient, SubscriptionLost
from storm_gateway.client.http import PAGE
from storm_gateway.protocol.events import ChannelDeleted, MessageEvent


async def follow(options: LoginOptions, channel: str, count: int, json: bool) -> None:
    """Show history, then events, until the end of the channel or of standard input."""
    terminal = sys.stdout.isatty() and not json
    colour = terminal and not os.environ.get("NO_COLOR")
    async with make_client(options) as client:
        channel_id, name = await find_channel(client, channel)
        past = await _history(client, channel_id, count)
        lines = Lines(colour=colour)
        for message in past:
            say(as_json(message) if json else lines.line(message) or "")
        # After the newest message shown: what came since then is replayed, none twice. An empty
        # channel is read from its beginning.
        since = past[-1].seq if past else (0 if count else None)
        await client.subscribe(channel_id, since)
        if terminal and sys.stdin.isatty():
            with Screen(name) as screen:
                await _show(client, lines, screen, channel_id)
            return
        async for event in client.events():
            if json:
                say(as_json(event))
            elif (line := lines.line(event)) is not None:
                say(line)
            if isinstance(event, SubscriptionLost | ChannelDeleted):
                raise typer.Exit(1)


async def _show(client: GatewayClient, lines: Lines, screen: Screen, channel_id: int) -> None:
    async def send_typed() -> None:
        async for text in screen.typed():
            try:
                await client.send(channel_id, text)
            except Exception as error:  # noqa: BLE001 shown, and the terminal goes on
                screen.line(f"— not sent: {error}")

    sending = asyncio.create_task(send_typed())
    try:
        async for event in client.events():
            status = lines.status(event)
            if status is not None:
                screen.status(status)
            elif (line := lines.line(event)) is not None:
                screen.line(line)
            if isinstance(event, SubscriptionLost | ChannelDeleted) or sending.done():
                return
    finally:
        sending.cancel()
        await asyncio.wait([sending])


async def _history(client: GatewayClient, channel_id: int, count: int) -> list[MessageEvent]:
    """The newest ``count`` messages, oldest first."""
    found: list[MessageEvent] = []
    while len(found) < count:
        limit = min(PAGE, count - len(found))
        before = found[0].seq if found else None
        page = await client.history(channel_id, limit, before=before)
        found[:0] = page
        if len(page) < limit:
            break
    return found
