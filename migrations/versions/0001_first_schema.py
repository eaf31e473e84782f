"""The first schema: log, consent, vault, jobs; and what each role may do."""

from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"
_SQL = Path(__file__).parents[1] / "sql"
_TABLES = _SQL / "0001_tables.sql"
_QUEUE = _SQL / "procrastinate-3.10.0.sql"


def upgrade() -> None:
    for schema in ("access_log", "consent", "vault"):
        op.execute(f"CREATE SCHEMA {schema}")
        op.execute(f"GRANT USAGE ON SCHEMA {schema} TO {APPLICATION}")
    op.get_bind().exec_driver_sql(_TABLES.read_text())
    _partitions()
    _append_only()
    _jobs()
    _grants()


def _partitions() -> None:
    # The application may not create tables: this function of the owner does it, for one range at a time.
    op.execute(
        """
        CREATE FUNCTION access_log.make_partitions(up_to bigint) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
        DECLARE
            width CONSTANT bigint := 8388608;
            number bigint := 0;
            made integer := 0;
        BEGIN
            WHILE number * width <= up_to LOOP
                IF to_regclass(format('access_log.entry_%s', number)) IS NULL THEN
                    EXECUTE format(
                        'CREATE TABLE access_log.entry_%s PARTITION OF access_log.entry'
                        ' FOR VALUES FROM (%s) TO (%s)',
                        number, number * width, (number + 1) * width);
                    made := made + 1;
                END IF;
                number := number + 1;
            END LOOP;
            RETURN made;
        END $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION access_log.make_partitions(bigint) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION access_log.make_partitions(bigint) TO {APPLICATION}")
    op.execute(text("SELECT access_log.make_partitions(0)"))


def _append_only() -> None:
    op.execute(
        """
        CREATE FUNCTION access_log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'log entries are append-only' USING ERRCODE = 'insufficient_privilege';
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER entry_is_append_only BEFORE UPDATE OR DELETE ON access_log.entry"
        " FOR EACH ROW EXECUTE FUNCTION access_log.refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER entry_is_never_truncated BEFORE TRUNCATE ON access_log.entry"
        " FOR EACH STATEMENT EXECUTE FUNCTION access_log.refuse_change()"
    )


def _jobs() -> None:
    # The queue's own schema names no schema: it is made, and later used, through the search path.
    op.execute("CREATE SCHEMA jobs")
    connection = op.get_bind()
    connection.execute(text("SET LOCAL search_path TO jobs"))
    connection.exec_driver_sql(_QUEUE.read_text().replace("%", "%%"))
    connection.execute(text("SET LOCAL search_path TO public"))
    op.execute(f"GRANT USAGE ON SCHEMA jobs TO {APPLICATION}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO {APPLICATION}")
    op.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobs TO {APPLICATION}")


def _grants() -> None:
    for tables, rights in (
        ("public.alembic_version", "SELECT"),
        ("access_log.head", "SELECT, INSERT, UPDATE"),
        ("access_log.entry, access_log.tile", "SELECT, INSERT"),
        ("access_log.payload, access_log.request", "SELECT, INSERT, DELETE"),
        ("access_log.stream", "SELECT, INSERT, UPDATE, DELETE"),
        ("ALL TABLES IN SCHEMA consent", "SELECT, INSERT, UPDATE, DELETE"),
        ("ALL TABLES IN SCHEMA vault", "SELECT, INSERT, UPDATE, DELETE"),
    ):
        op.execute(f"GRANT {rights} ON {tables} TO {APPLICATION}")
    # What was granted, withdrawn or registered is history: it is added to and never rewritten.
    op.execute(
        "REVOKE UPDATE, DELETE ON consent.consent, consent.consent_event, consent.register_event"
        f" FROM {APPLICATION}"
    )


def downgrade() -> None:
    op.execute("DROP SCHEMA access_log, consent, vault, jobs CASCADE")
