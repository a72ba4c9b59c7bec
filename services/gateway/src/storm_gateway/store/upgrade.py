"""Bring the database of some settings up to date, and say what was done."""

from storm_gateway.config import Config
from storm_gateway.store.database import make_database


def bring_up_to_date(config: Config) -> tuple[str | None, str]:
    """(revision before, revision now); None: there were no tables.

    Raises ``ValueError`` for a database that is not supported or is newer than this version,
    ``UnavailableError`` for one that is locked, full or damaged, and ``OSError`` for a file that
    cannot be made.
    """
    database = make_database(config)
    try:
        return database.open()
    except Exception as error:
        refusal = database.failure(error)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        database.close()
