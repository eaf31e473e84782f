"""Which of the log's own keys sign, and how each set of them followed the one before."""

from alembic import op
from sqlalchemy import text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE access_log.head ADD COLUMN key_epoch smallint NOT NULL DEFAULT 1,"
        " ADD COLUMN key_changing boolean NOT NULL DEFAULT false"
    )
    op.execute("COMMENT ON COLUMN access_log.head.key_epoch IS 'of the newest keys'")
    op.execute("COMMENT ON COLUMN access_log.head.key_changing IS 'the old keys sign too'")
    op.execute(
        """
        CREATE TABLE access_log.key_change (
            log smallint NOT NULL,
            epoch smallint NOT NULL,
            index bigint NOT NULL,
            document text NOT NULL,
            opening text,
            receipt text,
            PRIMARY KEY (log, epoch)
        )
        """
    )
    for column, comment in {
        "epoch": "of the new keys",
        "index": "of the entry that names them",
        "document": "JSON; its SHA-256 stands in the entry",
        "opening": "of the entry, JSON; null until the change is complete",
        "receipt": "of the entry, signed by old and new keys; null until then",
    }.items():
        op.execute(f"COMMENT ON COLUMN access_log.key_change.{column} IS '{comment}'")
    op.execute(f"GRANT SELECT, INSERT ON access_log.key_change TO {APPLICATION}")
    # A change is completed once; what it changed is history.
    op.execute(f"GRANT UPDATE (opening, receipt) ON access_log.key_change TO {APPLICATION}")


def downgrade() -> None:
    changed = op.get_bind().scalar(text("SELECT count(*) FROM access_log.key_change"))
    if changed:
        # The program before knows the first keys alone and would sign with what was retired.
        raise RuntimeError("the log's signing keys were changed: this database cannot go back before 0006")
    op.execute("DROP TABLE access_log.key_change")
    op.execute("ALTER TABLE access_log.head DROP COLUMN key_changing, DROP COLUMN key_epoch")
