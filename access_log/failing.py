"""What a database does when it fails, told as the log's own errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from access_log.errors import LogUnavailableError

# Payloads are sent past SQLAlchemy, which would otherwise have translated the driver's errors.
_DATABASE_IS_GONE: Final = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)


@asynccontextmanager
async def database_errors() -> AsyncIterator[None]:
    """Turns a database that is gone, slow or read-only into the log's own retryable error."""
    try:
        yield
    except _DATABASE_IS_GONE as error:
        raise LogUnavailableError("the database cannot be reached or refuses to write now") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise LogUnavailableError("the connection to the database was lost") from error
        raise
