"""``storm epoch``: tell that the database is another one, after a backup was restored."""

from pathlib import Path
from typing import Annotated

import typer

from storm_gateway.cli.common import fail, load_config, quiet_logging, say
from storm_gateway.errors import StormError

app = typer.Typer(
    no_args_is_help=True,
    help="The epoch of the database: another one after a backup was restored.",
)

DataDir = Annotated[Path | None, typer.Option(help="Folder of the embedded database.")]


@app.command()
def show(data_dir: DataDir = None) -> None:
    """Print the epoch that clients are told."""
    say(_epoch(data_dir, new=False))


@app.command()
def new(data_dir: DataDir = None) -> None:
    """Begin another epoch: clients forget where they were in each channel, and read it anew.

    To be called after a backup was restored. Nodes that run notice it within seconds, send their
    clients away and end, for their service manager or 'storm serve --workers' to start them again.
    """
    say(_epoch(data_dir, new=True))


def _epoch(data_dir: Path | None, *, new: bool) -> str:
    from storm_gateway.store.epoch import epoch_of

    config = load_config(data_dir=data_dir)
    quiet_logging(config)
    try:
        return epoch_of(config, new=new)
    except StormError as error:
        fail(error.message)
    except (OSError, ValueError) as error:
        fail(str(error))
