"""Bring the database of some settings up to date, and say what was done."""

from sqlalchemy import NullPool, create_engine

from storm_gateway.config import Config
from storm_gateway.store.database import make_database
from storm_gateway.store.migrate import current
from storm_gateway.store.sqlite import path_of


def bring_up_to_date(config: Config) -> tuple[str | None, str]:
    """(revision before, revision now); None: there were no tables.

    Raises ``ValueError`` for a database that is not supported or is newer than this version, and
    ``OSError`` for a file that cannot be opened.
    """
    before = _revision(config)
    database = make_database(config)
    database.open()
    database.close()
    return before, _revision(config) or ""


def _revision(config: Config) -> str | None:
    path = path_of(config)
    if not path.exists():
        return None
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, hide_parameters=True)
    try:
        with engine.connect() as connection:
            return current(connection)
    finally:
        engine.dispose()
