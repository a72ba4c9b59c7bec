"""What every command shares: settings, the store, saying and failing.

Libraries are imported where they are used: ``storm version`` need not load a database.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeVar

import typer
from pydantic import ValidationError

from storm_gateway.config import Config
from storm_gateway.errors import StormError
from storm_gateway.observability.text import escape_control
from storm_gateway.store.base import Store

T = TypeVar("T")
FAILED = 1
INTERRUPTED = 130


def say(text: str) -> None:
    """One line of the answer, on standard output."""
    typer.echo(text)


def tell(text: str) -> None:
    """A remark beside the answer, on standard error."""
    typer.echo(text, err=True)


def fail(text: str, status: int = FAILED, *, faults: Iterable[str] = ()) -> NoReturn:
    """End with a sentence that says what is wrong and what to do; ``faults``: a line for each."""
    typer.echo(
        "\n".join([f"storm: {escape_control(text)}", *map(escape_control, faults)]), err=True
    )
    raise typer.Exit(status)


def load_config(**given: Any) -> Config:
    """The settings of the environment; those ``given`` on the command line win (None: not given).

    Ends the command when they cannot work.
    """
    try:
        return Config(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        fail("the settings cannot work:", faults=config_faults(error))


def config_faults(error: ValidationError) -> list[str]:
    """One line for each fault: the variable, and what to do. Never the value: it may be secret."""
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        name = "STORM_" + "_".join(str(part) for part in fault["loc"]).upper()
        text = fault["msg"].removeprefix("Value error, ")
        lines.append(f"  {text}" if not fault["loc"] else f"  {name}: {text}")
    return lines


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; refusals become a sentence and exit status 1."""
    from storm_gateway.client.errors import ClientError

    try:
        return asyncio.run(work)
    except StormError as error:
        fail(error.message)
    except ClientError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader of our output has gone (``storm tail … | head``). Python would complain once
        # more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILED) from None
    except (OSError, ValueError) as error:
        fail(str(error))


@asynccontextmanager
async def opened_store(config: Config) -> AsyncIterator[Store]:
    """The store of these settings, migrated. A server may be using it at the same time."""
    from storm_gateway.observability.metrics import Metrics
    from storm_gateway.store.sql_store import SqlStore

    quiet_logging(config)
    store: Store = SqlStore(config, Metrics())
    await store.start(lambda committed: None)
    try:
        yield store
    finally:
        await store.stop()


def quiet_logging(config: Config) -> None:
    """Logs of a short command: only what went wrong."""
    from storm_gateway.observability.logging import configure_logging

    configure_logging(config.model_copy(update={"log_level": "error"}))
