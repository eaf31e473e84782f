"""Ranges of entries that were archived: their partitions are gone, and are not made again."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"

_TABLE = """
CREATE TABLE access_log.archived (
    log SMALLINT NOT NULL,
    first_index BIGINT NOT NULL,
    end_index BIGINT NOT NULL,
    labels BYTEA NOT NULL,
    time TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT archived_pkey PRIMARY KEY (log, first_index)
)
"""
# What one partition holds is a property of the schema: it is stated once, here.
_WIDTH = """
CREATE FUNCTION access_log.partition_width() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog AS 'SELECT 8388608::bigint'
"""
_MAKE = """
CREATE OR REPLACE FUNCTION access_log.make_partitions(up_to bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    width CONSTANT bigint := access_log.partition_width();
    number bigint := 0;
    made integer := 0;
BEGIN
    WHILE number * width <= up_to LOOP
        IF to_regclass(format('access_log.entry_%s', number)) IS NULL AND NOT {archived} THEN
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
# A range is left out only where every log there is has archived it: a new log begins at entry 0 again.
_ARCHIVED = """(
    EXISTS (SELECT FROM access_log.head)
    AND NOT EXISTS (
        SELECT FROM access_log.head h WHERE NOT EXISTS (
            SELECT FROM access_log.archived a WHERE a.log = h.log AND a.first_index = number * width)))"""


def upgrade() -> None:
    op.execute(_TABLE)
    op.execute("COMMENT ON COLUMN access_log.archived.labels IS 'SHA-256 of the index of its labels'")
    # Only the owner states that something was archived: who could, could also say so of what was deleted.
    op.execute(f"GRANT SELECT ON access_log.archived TO {APPLICATION}")
    op.execute(_WIDTH)
    op.execute(_MAKE.format(archived=_ARCHIVED))


def downgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM access_log.archived) THEN
                RAISE EXCEPTION 'entries were archived: the revision before this one would not find them';
            END IF;
        END $$
        """
    )
    op.execute(_MAKE.replace("access_log.partition_width()", "8388608").format(archived="false"))
    op.execute("DROP FUNCTION access_log.partition_width()")
    op.execute("DROP TABLE access_log.archived")
