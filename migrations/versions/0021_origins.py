"""Several logs in one database, of which one is open: what closes a log, and where streams cross over."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute("ALTER TABLE access_log.head ADD COLUMN successor TEXT")
    op.execute(
        "COMMENT ON COLUMN access_log.head.successor IS"
        " 'origin of the log opened in its place; null while it is open'"
    )
    op.execute(
        "CREATE UNIQUE INDEX head_one_is_open ON access_log.head ((successor IS NULL))"
        " WHERE successor IS NULL"
    )
    # Whatever a worker missed, of this program or an older one: its append changes the head, and is refused.
    op.execute(
        """
        CREATE FUNCTION access_log.refuse_closed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the log is closed' USING ERRCODE = 'object_not_in_prerequisite_state';
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER head_of_closed_log BEFORE UPDATE OR DELETE ON access_log.head"
        " FOR EACH ROW WHEN (OLD.successor IS NOT NULL) EXECUTE FUNCTION access_log.refuse_closed()"
    )
    op.execute("ALTER TABLE access_log.stream ADD COLUMN log SMALLINT DEFAULT 1 NOT NULL")
    op.execute("COMMENT ON COLUMN access_log.stream.log IS 'where its newest entry stands'")
    op.execute(
        """
        CREATE TABLE access_log.stream_end (
            log SMALLINT NOT NULL,
            stream_id BYTEA NOT NULL,
            month INTEGER NOT NULL,
            seq BIGINT NOT NULL,
            last_leaf BYTEA NOT NULL,
            CONSTRAINT stream_end_pkey PRIMARY KEY (log, stream_id),
            CONSTRAINT stream_end_stream_id_fkey FOREIGN KEY (stream_id)
                REFERENCES access_log.stream (stream_id) ON DELETE CASCADE
        )
        """
    )
    op.execute("CREATE INDEX stream_end_by_stream ON access_log.stream_end (stream_id)")
    op.execute(
        """
        CREATE TABLE access_log.succession (
            log SMALLINT NOT NULL,
            opening TEXT NOT NULL,
            receipt TEXT NOT NULL,
            CONSTRAINT succession_pkey PRIMARY KEY (log)
        )
        """
    )
    op.execute("COMMENT ON COLUMN access_log.succession.log IS 'the log that was opened'")
    op.execute("COMMENT ON COLUMN access_log.succession.opening IS 'of its entry 0, JSON'")
    op.execute("COMMENT ON COLUMN access_log.succession.receipt IS 'of its entry 0'")
    op.execute(f"GRANT SELECT, INSERT ON access_log.stream_end, access_log.succession TO {APPLICATION}")

    # Numbers of entries begin again in each log.
    op.execute("ALTER TABLE vault.flag ADD COLUMN log SMALLINT DEFAULT 1 NOT NULL")
    op.execute("ALTER TABLE vault.flag DROP CONSTRAINT flag_pkey")
    op.execute("ALTER TABLE vault.flag ADD CONSTRAINT flag_pkey PRIMARY KEY (log, flag_index)")
    op.execute("ALTER TABLE vault.access_case ADD COLUMN log SMALLINT DEFAULT 1 NOT NULL")
    op.execute("COMMENT ON COLUMN vault.access_case.log IS 'in which it was opened'")
    op.execute("ALTER TABLE vault.access_case DROP CONSTRAINT access_case_opened_index_key")
    op.execute(
        "ALTER TABLE vault.access_case ADD CONSTRAINT access_case_opened_index_key UNIQUE (log, opened_index)"
    )


def downgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM access_log.head WHERE successor IS NOT NULL) THEN
                RAISE EXCEPTION 'a log was closed: the revision before this one would write to it';
            END IF;
        END $$
        """
    )
    op.execute("ALTER TABLE vault.flag DROP CONSTRAINT flag_pkey")
    op.execute("ALTER TABLE vault.flag DROP COLUMN log")
    op.execute("ALTER TABLE vault.flag ADD CONSTRAINT flag_pkey PRIMARY KEY (flag_index)")
    op.execute("ALTER TABLE vault.access_case DROP CONSTRAINT access_case_opened_index_key")
    op.execute("ALTER TABLE vault.access_case DROP COLUMN log")
    op.execute(
        "ALTER TABLE vault.access_case ADD CONSTRAINT access_case_opened_index_key UNIQUE (opened_index)"
    )
    op.execute("DROP TABLE access_log.succession")
    op.execute("DROP TABLE access_log.stream_end")
    op.execute("ALTER TABLE access_log.stream DROP COLUMN log")
    op.execute("DROP TRIGGER head_of_closed_log ON access_log.head")
    op.execute("DROP FUNCTION access_log.refuse_closed()")
    op.execute("DROP INDEX access_log.head_one_is_open")
    op.execute("ALTER TABLE access_log.head DROP COLUMN successor")
