"""How fast bodies and officers ask, shared by all workers."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    # Not in the write-ahead log: after a crash, and on a standby, every bucket is full again.
    op.execute(
        """
        CREATE UNLOGGED TABLE consent.asking_rate (
            whose UUID NOT NULL,
            full_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT asking_rate_pkey PRIMARY KEY (whose)
        )
        """
    )
    op.execute("COMMENT ON COLUMN consent.asking_rate.whose IS 'a body or an officer'")
    op.execute("COMMENT ON COLUMN consent.asking_rate.full_at IS 'when its bucket is full again'")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON consent.asking_rate TO {APPLICATION}")


def downgrade() -> None:
    op.execute("DROP TABLE consent.asking_rate")
