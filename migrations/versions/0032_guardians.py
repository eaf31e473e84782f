"""Mandates that registrars give: guardians."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _kinds("'lawyer', 'relative', 'other', 'guardian'")


def downgrade() -> None:
    # It fails where a guardian is registered: their mandate must not become one the person gave.
    _kinds("'lawyer', 'relative', 'other'")


def _kinds(known: str) -> None:
    op.execute("ALTER TABLE consent.mandate DROP CONSTRAINT mandate_kind_check")
    op.execute(f"ALTER TABLE consent.mandate ADD CONSTRAINT mandate_kind_check CHECK (kind IN ({known}))")
