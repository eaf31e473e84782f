"""The monthly numbers of covert cases, as they are published."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE vault.covert_count (
            month INTEGER NOT NULL,
            opened INTEGER NOT NULL,
            standing INTEGER NOT NULL,
            disclosed INTEGER NOT NULL,
            entry_index BIGINT NOT NULL,
            opening TEXT NOT NULL,
            CONSTRAINT covert_count_pkey PRIMARY KEY (month)
        )
        """
    )
    op.execute("COMMENT ON COLUMN vault.covert_count.month IS 'yyyymm, UTC'")
    op.execute("COMMENT ON COLUMN vault.covert_count.opening IS 'of that entry, JSON'")
    op.execute(f"GRANT SELECT, INSERT ON vault.covert_count TO {APPLICATION}")


def downgrade() -> None:
    op.execute("DROP TABLE vault.covert_count")
