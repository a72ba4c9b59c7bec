"""``storm migrate``: bring the database to this version."""

from pathlib import Path
from typing import Annotated

import typer

from storm_gateway.cli.common import fail, load_config, quiet_logging, say
from storm_gateway.errors import StormError


def migrate(
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded database.")] = None,
) -> None:
    """Bring the database schema up to date. 'storm serve' does it too, at its start."""
    from storm_gateway.store.upgrade import bring_up_to_date

    config = load_config(data_dir=data_dir)
    quiet_logging(config)
    try:
        before, after = bring_up_to_date(config)
    except StormError as error:
        fail(error.message)
    except (OSError, ValueError) as error:
        fail(str(error))
    if before == after:
        say(f"the database is up to date: revision {after}")
    else:
        say(f"the database went from revision {before or 'none (empty)'} to {after}")
