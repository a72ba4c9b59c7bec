"""Which life of the database this is.

A restored backup lacks what came after it, and its logs go on with numbers that were given before.
No number tells; so whoever restores says it (``storm epoch new``), and clients that knew another
epoch forget where they were.
"""

import secrets

from sqlalchemy import Connection, delete, insert, select

from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.store.database import Database, kind_of, make_database
from storm_gateway.store.tables import meta

_EPOCH = meta.c.key == "epoch"


def read_epoch(connection: Connection) -> str:
    """The epoch of the database. Raises ``UnavailableError`` when it has lost it."""
    found = connection.execute(select(meta.c.value).where(_EPOCH)).scalar_one_or_none()
    if found is None:
        raise UnavailableError("The database has no epoch: say 'storm epoch new'.")
    return str(found)


def renew_epoch(connection: Connection) -> str:
    """Begin another one; gives it."""
    epoch = secrets.token_hex(8)
    # Not an update: what was restored may have lost the row, and nothing would be changed.
    connection.execute(delete(meta).where(_EPOCH))
    connection.execute(insert(meta).values(key="epoch", value=epoch))
    return epoch


def epoch_of(config: Config, *, new: bool = False) -> str:
    """The epoch of the database of some settings; ``new``: another one from now on.

    Raises what :func:`storm_gateway.store.upgrade.bring_up_to_date` raises, and ``ValueError``
    where there was no database: a new one in a wrong place would look like success.
    """
    from storm_gateway.store.sqlite import path_of

    if kind_of(config.database_url) == "sqlite" and not path_of(config).exists():
        raise ValueError(f"there is no database at {path_of(config)}")
    database = make_database(config)
    try:
        _open(database)
        return database.write(renew_epoch) if new else database.read(read_epoch)
    except Exception as error:
        refusal = database.failure(error)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        database.close()


def _open(database: Database) -> None:
    before, _ = database.open()
    if before is None:
        raise ValueError("there were no tables in this database: is it the restored one?")
