"""``storm serve``: run one node."""

from pathlib import Path
from typing import Annotated

import typer

from storm_gateway.cli.common import fail, load_config
from storm_gateway.cli.settings import places_fault
from storm_gateway.observability.logging import configure_logging


def serve(
    addr: Annotated[
        str | None, typer.Option(help="host:port to listen on; ':8080' is all addresses.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the embedded database and the made secret.")
    ] = None,
) -> None:
    """Run a node until SIGTERM or Ctrl-C, then drain and end.

    Needs nothing: without settings it keeps its data in .storm and listens on 127.0.0.1:8080.
    """
    from storm_gateway import app

    config = load_config(addr=addr, data_dir=data_dir)
    for fault in places_fault(config):
        fail(fault)
    configure_logging(config)
    try:
        status = app.serve(config)
    except (OSError, ValueError) as error:
        fail(str(error))
    raise typer.Exit(status)
