"""``storm tail``: follow a channel."""

from typing import Annotated

import typer

from storm_gateway.cli.common import run
from storm_gateway.cli.options import As, LoginOptions, PasswordStdin, TokenStdin, Url, User

MOST = 10_000


def tail(
    channel: Annotated[
        str, typer.Argument(help="Name or id; @bob is the direct channel with bob.")
    ],
    lines: Annotated[
        int, typer.Option("-n", min=0, max=MOST, help="Messages of history to begin with.")
    ] = 50,
    json: Annotated[bool, typer.Option("--json", help="Events as JSON, one a line.")] = False,
    url: Url = None,
    user: User = None,
    password_stdin: PasswordStdin = False,
    token_stdin: TokenStdin = False,
    as_user: As = None,
) -> None:
    """Show a channel's history, then what happens in it, until Ctrl-C.

    On a terminal, lines that you type are sent. When the connection breaks, it comes back by
    itself; nothing is lost and nothing is shown twice.
    """
    from storm_gateway.cli import following

    options = LoginOptions(url, user, password_stdin, token_stdin, as_user)
    run(following.follow(options, channel, lines, json))
