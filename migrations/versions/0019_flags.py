"""Where the log has flags, and how far it was watched for them."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE vault.flag (
            flag_index BIGINT NOT NULL,
            raised_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT flag_pkey PRIMARY KEY (flag_index)
        )
        """
    )
    op.execute("COMMENT ON COLUMN vault.flag.flag_index IS 'of its entry'")
    op.execute(
        """
        CREATE TABLE vault.watched (
            log SMALLINT NOT NULL,
            size BIGINT NOT NULL,
            CONSTRAINT watched_pkey PRIMARY KEY (log)
        )
        """
    )
    # A flag that was raised stays raised.
    op.execute(f"GRANT SELECT, INSERT ON vault.flag TO {APPLICATION}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON vault.watched TO {APPLICATION}")


def downgrade() -> None:
    op.execute("DROP TABLE vault.watched")
    op.execute("DROP TABLE vault.flag")
