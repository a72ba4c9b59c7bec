"""How ``storm send`` and ``storm tail`` come in."""

import os
import sys
from typing import NoReturn

from storm_gateway.cli.common import fail, load_config, quiet_logging
from storm_gateway.cli.options import LoginOptions
from storm_gateway.cli.tokens import mint
from storm_gateway.cli.users import read_password
from storm_gateway.client import ClientError, GatewayClient
from storm_gateway.config import Config

MINTED_SECONDS = 12 * 3_600


def server_url(config: Config, url: str | None) -> str:
    """The given address, else that of a server with these settings on this machine."""
    if url:
        return url
    host = config.host
    if host in ("0.0.0.0", "::"):  # noqa: S104 nothing is bound here
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}"


def make_client(options: LoginOptions) -> GatewayClient:
    """A client that is not connected yet. Asks for what is missing; ends the command if it may
    not ask.
    """
    config = load_config()
    quiet_logging(config)
    url = server_url(config, options.url)
    chosen = [options.user is not None, options.token_stdin, options.as_user is not None]
    if sum(chosen) > 1:
        fail("choose one of --user, --token-stdin and --as", 2)
    try:
        if options.as_user is not None:
            return GatewayClient(url, token=mint(config, options.as_user, MINTED_SECONDS))
        if options.token_stdin:
            return GatewayClient(url, token=_token(sys.stdin.readline()))
        if options.user is not None:
            password = read_password(options.password_stdin, confirm=False)
            return GatewayClient(url, user=options.user, password=password)
        if os.environ.get("STORM_TOKEN"):
            return GatewayClient(url, token=_token(os.environ["STORM_TOKEN"]))
    except (ValueError, OSError) as error:
        fail(str(error))
    return _nobody()


def _nobody() -> NoReturn:
    fail("say who you are: --user NAME, --as NAME on the server's machine, or STORM_TOKEN", 2)


def _token(text: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or any(character.isspace() for character in token):
        raise ValueError("this is no access token")
    return token


async def find_channel(client: GatewayClient, name: str) -> tuple[int, str]:
    """(id, name) of a channel that is named by ``general``, ``#general``, ``@bob`` (the direct
    channel with bob) or by its id.
    """
    channels = await client.channels()
    wanted = name.removeprefix("#")
    for channel in channels:
        if name.startswith("@") and channel.peer == name[1:]:
            return channel.id, name
        if channel.visibility != "direct" and channel.name == wanted:
            return channel.id, channel.name
    if wanted.isascii() and wanted.isdecimal():
        # Also one that the list does not name: the server decides.
        found = {channel.id: channel.name for channel in channels}
        return int(wanted), found.get(int(wanted), wanted)
    names = sorted(channel.name for channel in channels if channel.visibility != "direct")
    raise ClientError(
        f"there is no channel {name!r} that {client.user_id} may see; there is: "
        + (", ".join(names[:20]) or "none")
    )
