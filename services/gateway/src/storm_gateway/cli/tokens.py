"""``storm token``: make an access token with the local secret."""

import re
import secrets
from pathlib import Path
from typing import Annotated

import typer

from storm_gateway.actions import names
from storm_gateway.cli.common import load_config, opened_store, quiet_logging, run, say
from storm_gateway.config import Config

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
LONGEST_SECONDS = 10 * 365 * 86_400
SERVICE_SECONDS = 365 * 86_400


def seconds_of(text: str) -> int:
    """``90``, ``15m``, ``1h``, ``30d`` as seconds. Raises ``ValueError``."""
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip().lower())
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 1 <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"{text!r} is no life of a token: say for example 15m, 1h or 30d")
    return seconds


def mint(config: Config, user_id: str, seconds: int) -> str:
    """An access token of the user, signed with the secret of these settings."""
    from storm_gateway.actions.secret import load_secret
    from storm_gateway.actions.tokens import Tokens

    fitting = config.model_copy(update={"access_token_seconds": seconds})
    tokens = Tokens(fitting, load_secret(config), None)
    return tokens.make_access(names.user_id(user_id), f"cli-{secrets.token_hex(8)}")


def token(
    user_id: Annotated[str, typer.Argument(metavar="USER")],
    expires: Annotated[
        str | None, typer.Option(help="How long it is good: 900, 15m, 1h, 30d.", show_default="1h")
    ] = None,
    service: Annotated[
        bool,
        typer.Option(
            "--service", help="For a service account: makes the user if missing; good for 365d."
        ),
    ] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the secret.")] = None,
) -> None:
    """Print an access token of a user, for tests, scripts and service accounts.

    It is signed with STORM_JWT_SECRET, or with the secret in the data folder. Changing the user's
    password makes it void.
    """

    async def work(config: Config) -> None:
        seconds = seconds_of(expires or ("365d" if service else "1h"))
        made = mint(config, user_id, seconds)
        async with opened_store(config) as store:
            if service:
                await store.users.ensure(user_id)
            elif await store.users.get(user_id) is None:
                raise ValueError(f"there is no user {user_id!r}: add it, or use --service")
        say(made)

    config = load_config(data_dir=data_dir)
    quiet_logging(config)
    run(work(config))
