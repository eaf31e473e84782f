"""How well bodies furnish: counts by month, of nobody's data."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE vault.furnishing_count (
            body_id UUID NOT NULL,
            month INTEGER NOT NULL,
            measure TEXT NOT NULL,
            key TEXT NOT NULL,
            records BIGINT NOT NULL,
            CONSTRAINT furnishing_count_pkey PRIMARY KEY (body_id, month, measure, key),
            CONSTRAINT measure CHECK (measure IN ('enrolled', 'late', 'corrected', 'rejected')),
            CONSTRAINT records CHECK (records > 0)
        )
        """
    )
    op.execute("COMMENT ON COLUMN vault.furnishing_count.month IS 'yyyymm'")
    op.execute("COMMENT ON COLUMN vault.furnishing_count.key IS 'category, age in days, reason or rule'")
    # What was counted stays counted.
    op.execute("GRANT SELECT, INSERT, UPDATE ON vault.furnishing_count TO creditvault_app")


def downgrade() -> None:
    op.execute("DROP TABLE vault.furnishing_count")
