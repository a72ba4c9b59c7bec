"""``storm user``: people and bots, directly in the store."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from storm_gateway.actions import names
from storm_gateway.cli.common import fail, load_config, opened_store, run, say
from storm_gateway.config import Config
from storm_gateway.observability.text import escape_control
from storm_gateway.store.records import User

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Add, list and change users, directly in the database. This works while the server runs; "
        "what its nodes keep in memory (who is an administrator, which tokens are void) follows "
        "within seconds."
    ),
)
PAGE = 500
DataDir = Annotated[Path | None, typer.Option(help="Folder of the embedded database.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


def read_password(from_stdin: bool, *, confirm: bool) -> str:
    """From the terminal without echo, or the first line of standard input; never from arguments,
    which every user of the machine can read.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        fail("there is no terminal to ask for the password: use --password-stdin")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
    return password


async def _hash(password: str) -> str:
    from storm_gateway.actions.passwords import Passwords

    passwords = Passwords(1)
    try:
        return await passwords.hash(names.password(password))
    finally:
        await passwords.stop()


@app.command()
def add(
    user_id: Annotated[str, typer.Argument(metavar="NAME")],
    display_name: Annotated[str | None, typer.Option("--display-name")] = None,
    password_stdin: PasswordStdin = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="For bots that use 'storm token' only.")
    ] = False,
    admin: Annotated[bool, typer.Option("--admin", help="A server administrator.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Add a user."""

    async def work(config: Config) -> None:
        hashed = None if password is None else await _hash(password)
        shown = names.display_name(display_name or user_id)
        async with opened_store(config) as store:
            await store.users.create(names.user_id(user_id), shown, hashed)
            if admin:
                await store.users.set_admin(user_id, True)
        say(f"added {user_id}" + (", a server administrator" if admin else ""))

    config = load_config(data_dir=data_dir)
    password = None if no_password else read_password(password_stdin, confirm=True)
    run(work(config))


@app.command("list")
def list_users(
    contains: Annotated[str, typer.Option(help="Only ids that contain this.")] = "",
    data_dir: DataDir = None,
) -> None:
    """List the users: id, since when, whether administrator or banned, display name."""

    async def work(config: Config) -> None:
        async with opened_store(config) as store:
            after = ""
            while page := await store.users.page(PAGE, after, contains):
                for user in page:
                    say(_line(user, config.admin_ids))
                after = page[-1].id

    run(work(load_config(data_dir=data_dir)))


def _line(user: User, configured: frozenset[str]) -> str:
    admin = "admin" if user.admin or user.id in configured else "-"
    if user.banned_at is not None:
        admin = "banned"
    shown = escape_control(user.display_name)
    return f"{user.id}\t{user.created_at}\t{admin}\t{shown}"


@app.command()
def passwd(
    user_id: Annotated[str, typer.Argument(metavar="NAME")],
    password_stdin: PasswordStdin = False,
    data_dir: DataDir = None,
) -> None:
    """Set a user's password. All logins and tokens of the user become void."""

    async def work(config: Config) -> None:
        hashed = await _hash(password)
        async with opened_store(config) as store:
            await store.users.update(user_id, password_hash=hashed)
        say(f"password of {user_id} changed; running nodes end the old logins within seconds")

    config = load_config(data_dir=data_dir)
    password = read_password(password_stdin, confirm=True)
    run(work(config))


@app.command()
def admin(
    user_id: Annotated[str, typer.Argument(metavar="NAME")],
    off: Annotated[bool, typer.Option("--off", help="No longer an administrator.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Make a user a server administrator, or no longer one."""

    async def work(config: Config) -> None:
        async with opened_store(config) as store:
            user = await store.users.set_admin(user_id, not off)
        say(f"{user.id} is {'a' if user.admin else 'no'} server administrator")
        if off and user_id in config.admin_ids:
            say("STORM_ADMINS still names this user.")

    run(work(load_config(data_dir=data_dir)))


@app.command()
def ban(
    user_id: Annotated[str, typer.Argument(metavar="NAME")],
    data_dir: DataDir = None,
) -> None:
    """Keep a user out of the server. What they wrote stays."""

    async def work(config: Config) -> None:
        async with opened_store(config) as store:
            await store.users.ban(user_id)
        say(f"{user_id} is banned; running nodes close their connections within seconds")

    run(work(load_config(data_dir=data_dir)))


@app.command()
def unban(
    user_id: Annotated[str, typer.Argument(metavar="NAME")],
    data_dir: DataDir = None,
) -> None:
    """Let a banned user log in again."""

    async def work(config: Config) -> None:
        async with opened_store(config) as store:
            await store.users.unban(user_id)
        say(f"{user_id} may log in again, on running nodes within seconds")

    run(work(load_config(data_dir=data_dir)))
