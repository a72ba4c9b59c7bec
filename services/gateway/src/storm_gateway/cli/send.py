"""``storm send``: say something in a channel."""

from typing import Annotated

import typer

from storm_gateway.cli.common import run
from storm_gateway.cli.options import As, LoginOptions, PasswordStdin, TokenStdin, Url, User


def send(
    channel: Annotated[str, typer.Argument(help="Name or id; @bob: the direct channel with bob.")],
    text: Annotated[list[str], typer.Argument(help="The message; '-': a message a line of stdin.")],
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
    from storm_gateway.cli import sending

    options = LoginOptions(url, user, password_stdin, token_stdin, as_user)
    run(sending.send(options, channel, text, timeout))
