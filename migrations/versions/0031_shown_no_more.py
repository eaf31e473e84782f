"""Record versions that are shown no more before their time, found by an index of their own."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX record_shown_no_more ON vault.record (expiry_id)"
        " WHERE superseded OR state = ANY (ARRAY['annulled', 'repaired'])"
    )


def downgrade() -> None:
    op.execute("DROP INDEX vault.record_shown_no_more")
