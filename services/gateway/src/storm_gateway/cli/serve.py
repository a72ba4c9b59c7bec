"""``storm serve``: run one node, or several on one address."""

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated

import typer

from storm_gateway.cli.common import fail, load_config
from storm_gateway.cli.settings import places_fault
from storm_gateway.config import Config
from storm_gateway.observability.logging import configure_logging


def serve(
    addr: Annotated[
        str | None, typer.Option(help="host:port to listen on; ':8080' is all addresses.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the embedded database and the made secret.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=256,
            help="Nodes on the one address, each a process; more than one need NATS, Valkey or "
            "Redis, PostgreSQL and a common secret.",
        ),
    ] = 1,
    supervised: Annotated[str | None, typer.Option(hidden=True)] = None,
    news: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a node until SIGTERM or Ctrl-C, then drain and end.

    Needs nothing: without settings it keeps its data in .storm and listens on 127.0.0.1:8080.
    With --workers several nodes share the address; SIGHUP replaces them one after another.
    """
    config = load_config(addr=addr, data_dir=data_dir)
    for fault in places_fault(config):
        fail(fault)
    if workers > 1:
        raise typer.Exit(_run_several(config, workers, news))
    configure_logging(config)
    raise typer.Exit(_run_one(config, supervised))


def _run_one(config: Config, supervised: str | None) -> int:
    from storm_gateway import app
    from storm_gateway.supervisor.leash import Leash, parse_descriptors

    try:
        if supervised is None:
            return app.serve(config)
        leash = Leash(*parse_descriptors(supervised))
        return app.serve(config, leash.listeners, leash)
    except (OSError, ValueError) as error:
        fail(str(error))


def _run_several(config: Config, count: int, news: Path | None) -> int:
    """``news``: a file that gets a line for whoever started this, when a node ends or is back."""
    from storm_gateway.supervisor.supervisor import Supervisor

    def tell(sentence: str) -> None:
        if news is not None:
            with contextlib.suppress(OSError), news.open("a", encoding="utf-8") as file:
                file.write(" ".join(sentence.split()) + "\n")

    if config.cluster_faults:
        fail(
            f"{count} nodes need more settings:\n"
            + "\n".join(f"  {f}" for f in config.cluster_faults)
        )
    # Its records name the node that they speak of.
    configure_logging(config.model_copy(update={"node_name": ""}))
    try:
        return asyncio.run(Supervisor(config, count, tell=tell).run())
    except OSError as error:
        fail(error.strerror or str(error))
