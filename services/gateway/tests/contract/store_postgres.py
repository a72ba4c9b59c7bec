"""A real PostgreSQL for the tests of the store, and a fresh database of it for each test."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import asyncpg

from storm_gateway.config import Config
from storm_gateway.stack.postgres import PostgresServer
from storm_gateway.store.upgrade import bring_up_to_date

TEMPLATE = "storm_template"


class Databases:
    """One server with a migrated template, from which databases are copied."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.server = PostgresServer(folder, settings=settings)
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Start the server and make the template."""
        self.server.start()
        self.run(f"CREATE DATABASE {TEMPLATE}")
        bring_up_to_date(Config(database_url=self.server.url_of(TEMPLATE)))

    def stop(self) -> None:
        self.server.stop()

    def make(self, template: str = TEMPLATE) -> str:
        """The URL of a new database."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.server.url_of(name)

    def drop(self, url: str) -> None:
        name = url.rpartition("/")[2]
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def run(self, statement: str) -> None:
        """One statement, on the server's own database, from a thread without an event loop."""
        asyncio.run(execute(self.server.url, statement))


async def execute(url: str, statement: str, *values: Any) -> list[Any]:
    """One statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        rows: list[Any] = await connection.fetch(statement, *values)
        return rows
    finally:
        await connection.close()
