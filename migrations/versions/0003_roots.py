"""The log of roots: leaves, head, cosignatures, and the crowns that labels are proved from."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"

_TABLES = (
    """
    CREATE TABLE access_log.root (
        log SMALLINT NOT NULL,
        index BIGINT NOT NULL,
        leaf BYTEA NOT NULL,
        PRIMARY KEY (log, index),
        CONSTRAINT root_is_86_bytes CHECK (octet_length(leaf) = 86)
    )
    """,
    """
    CREATE TABLE access_log.root_head (
        log SMALLINT NOT NULL,
        origin TEXT NOT NULL,
        size BIGINT NOT NULL,
        frontier BYTEA NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (log),
        UNIQUE (origin)
    )
    """,
    "COMMENT ON COLUMN access_log.root_head.frontier IS 'roots of the full subtrees, largest first'",
    "COMMENT ON COLUMN access_log.root_head.note IS 'the signed checkpoint of this size'",
    """
    CREATE TABLE access_log.root_cosignature (
        log SMALLINT NOT NULL,
        signer TEXT NOT NULL,
        size BIGINT NOT NULL,
        line TEXT NOT NULL,
        PRIMARY KEY (log, signer)
    )
    """,
    "COMMENT ON COLUMN access_log.root_cosignature.signer IS 'the auditor''s verifier key'",
    "COMMENT ON COLUMN access_log.root_cosignature.line IS 'its line over the checkpoint of this size'",
    """
    CREATE TABLE access_log.prefix_crown (
        log SMALLINT NOT NULL,
        month INTEGER NOT NULL,
        root BIGINT NOT NULL,
        slots BYTEA NOT NULL,
        PRIMARY KEY (log, month)
    )
    """,
    "COMMENT ON COLUMN access_log.prefix_crown.month IS 'yyyymm, UTC'",
    "COMMENT ON COLUMN access_log.prefix_crown.root IS 'index of the root in the log of roots'",
    "COMMENT ON COLUMN access_log.prefix_crown.slots IS 'u8 labels (2 for more) and hash of each subtree'",
    # Hashes do not compress; kept apart from the row, they leave it small.
    "ALTER TABLE access_log.prefix_crown ALTER COLUMN slots SET STORAGE EXTERNAL",
    """
    CREATE TRIGGER root_is_append_only BEFORE UPDATE OR DELETE ON access_log.root
        FOR EACH ROW EXECUTE FUNCTION access_log.refuse_change()
    """,
    """
    CREATE TRIGGER root_is_never_truncated BEFORE TRUNCATE ON access_log.root
        FOR EACH STATEMENT EXECUTE FUNCTION access_log.refuse_change()
    """,
    f"GRANT SELECT, INSERT ON access_log.root TO {APPLICATION}",
    f"GRANT SELECT, INSERT, UPDATE ON access_log.root_head, access_log.root_cosignature TO {APPLICATION}",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON access_log.prefix_crown TO {APPLICATION}",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DELETE FROM access_log.tile WHERE log < 0")
    for table in ("root", "root_head", "root_cosignature", "prefix_crown"):
        op.execute(f"DROP TABLE access_log.{table}")
