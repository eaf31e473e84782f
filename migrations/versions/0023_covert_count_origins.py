"""Which log the entry that states the covert cases of a month stands in: there may be more than one."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE vault.covert_count ADD COLUMN origin TEXT")
    op.execute("COMMENT ON COLUMN vault.covert_count.origin IS 'of the log that has the entry'")
    # What was counted before logs could be closed is in the first.
    op.execute("UPDATE vault.covert_count SET origin = (SELECT origin FROM access_log.head WHERE log = 1)")
    op.execute("ALTER TABLE vault.covert_count ALTER COLUMN origin SET NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE vault.covert_count DROP COLUMN origin")
