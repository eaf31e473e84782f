"""Alembic's entry: runs the revisions on the connection it is handed."""

from alembic import context
from sqlalchemy import Connection, text

from migrations.schema import METADATA


def run(connection: Connection) -> None:
    """Runs the revisions in one transaction, under a lock that keeps two migrations apart."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        version_table_schema="public",
        include_schemas=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('creditvault migrations'))"))
        context.run_migrations()


run(context.config.attributes["connection"])
