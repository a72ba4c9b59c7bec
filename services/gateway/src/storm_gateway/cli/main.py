"""The ``storm`` command and its groups."""

import typer

from storm_gateway.cli import epoch, settings, users
from storm_gateway.cli.audit import audit
from storm_gateway.cli.capacity import capacity
from storm_gateway.cli.doctor import doctor
from storm_gateway.cli.importing import import_history
from storm_gateway.cli.migrate import migrate
from storm_gateway.cli.send import send
from storm_gateway.cli.serve import serve
from storm_gateway.cli.tail import tail
from storm_gateway.cli.tokens import token
from storm_gateway.cli.up import up
from storm_gateway.version import VERSION

app = typer.Typer(
    name="storm",
    no_args_is_help=True,
    # Tracebacks with local variables would print passwords.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="STORM: self-hosted real-time messaging.",
)
app.command()(serve)
app.command()(up)
app.command()(send)
app.command()(tail)
app.add_typer(users.app, name="user")
app.command()(token)
app.add_typer(settings.app, name="config")
app.command("import")(import_history)
app.command()(doctor)
app.command()(capacity)
app.command()(audit)
app.command()(migrate)
app.add_typer(epoch.app, name="epoch")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(VERSION)


def main() -> None:
    """Run the command line."""
    app()
