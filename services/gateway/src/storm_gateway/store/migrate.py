"""Bring a database to the tables of this version, forward or back."""

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

_MIGRATIONS = Path(__file__).parent / "migrations"


def _config(connection: Connection) -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def current(connection: Connection) -> str | None:
    """The revision that the database has; None: no tables yet."""
    return MigrationContext.configure(connection).get_current_revision()


def newest(connection: Connection) -> str:
    """The revision that this version of STORM needs."""
    return ScriptDirectory.from_config(_config(connection)).get_current_head() or ""


def upgrade(connection: Connection) -> tuple[str | None, str]:
    """To the newest revision, inside the caller's transaction: all of it or nothing.

    Returns the revision before (None: no tables yet) and now. Raises ``ValueError`` for a
    database that a newer STORM made.
    """
    found = current(connection)
    scripts = ScriptDirectory.from_config(_config(connection))
    head = scripts.get_current_head() or ""
    if found == head:
        return found, head
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise ValueError(
            f"The database has revision {found!r}, made by a newer STORM: update STORM"
        )
    command.upgrade(_config(connection), "head")
    return found, head


def downgrade(connection: Connection, revision: str = "base") -> None:
    """Back to ``revision``. What only the newer tables hold is lost."""
    command.downgrade(_config(connection), revision)
