"""Which life of the database this is.

A restored backup lacks what came after it, and its logs go on with numbers that were given before.
No number tells; so whoever restores says it (``storm epoch new``), and clients that knew another
epoch forget where they were.
"""

import secrets

from sqlalchemy import Connection, select, update

from storm_gateway.config import Config
from storm_gateway.store.database import make_database
from storm_gateway.store.tables import meta

_EPOCH = meta.c.key == "epoch"


def read_epoch(connection: Connection) -> str:
    """The epoch of the database."""
    return str(connection.execute(select(meta.c.value).where(_EPOCH)).scalar_one())


def renew_epoch(connection: Connection) -> str:
    """Begin another one; gives it."""
    epoch = secrets.token_hex(8)
    connection.execute(update(meta).where(_EPOCH).values(value=epoch))
    return epoch


def epoch_of(config: Config, *, new: bool = False) -> str:
    """The epoch of the database of some settings; ``new``: another one from now on.

    Raises what :func:`storm_gateway.store.upgrade.bring_up_to_date` raises.
    """
    database = make_database(config)
    try:
        database.open()
        return database.write(renew_epoch) if new else database.read(read_epoch)
    except Exception as error:
        refusal = database.failure(error)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        database.close()
