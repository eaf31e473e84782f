"""How the key of the log of roots was changed."""

from alembic import op
from sqlalchemy import text

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE access_log.root_key_change (
            log smallint NOT NULL,
            epoch smallint NOT NULL,
            index bigint NOT NULL,
            document text NOT NULL,
            size bigint,
            published text,
            PRIMARY KEY (log, epoch),
            CONSTRAINT root_key_change_is_complete CHECK ((size IS NULL) = (published IS NULL))
        )
        """
    )
    for column, comment in {
        "epoch": "of the new key",
        "index": "of the entry that names it",
        "document": "JSON; its SHA-256 stands in the entry",
        "size": "of the tree that old and new key signed; null until there is one",
        "published": "what leads from the old key to the new, JSON; null until then",
    }.items():
        op.execute(f"COMMENT ON COLUMN access_log.root_key_change.{column} IS '{comment}'")
    op.execute(f"GRANT SELECT, INSERT ON access_log.root_key_change TO {APPLICATION}")
    # A change is completed once; what it changed is history.
    op.execute(f"GRANT UPDATE (size, published) ON access_log.root_key_change TO {APPLICATION}")


def downgrade() -> None:
    if op.get_bind().scalar(text("SELECT count(*) FROM access_log.root_key_change")):
        # The program before knows the first key alone and would sign with what was retired.
        raise RuntimeError("the key of a log of roots was changed: this database cannot go back before 0037")
    op.execute("DROP TABLE access_log.root_key_change")
