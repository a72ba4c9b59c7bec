"""The options by which ``storm send`` and ``storm tail`` come in."""

from dataclasses import dataclass
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option(envvar="STORM_URL", help="The server; by default the one of STORM_ADDR."),
]
User = Annotated[str | None, typer.Option(help="Log in as this user; the password is asked for.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
TokenStdin = Annotated[
    bool, typer.Option("--token-stdin", help="Read an access token from standard input.")
]
As = Annotated[
    str | None,
    typer.Option(
        "--as", help="Be this user, by the secret in the data folder of a server on this machine."
    ),
]


@dataclass(frozen=True)
class LoginOptions:
    """The options of a command that connects."""

    url: str | None
    user: str | None
    password_stdin: bool
    token_stdin: bool
    as_user: str | None
