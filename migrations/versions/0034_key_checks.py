"""What tells that a key which makes MACs is the one it was."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE vault.key_check (
            name TEXT NOT NULL,
            version SMALLINT NOT NULL,
            value BYTEA NOT NULL,
            CONSTRAINT key_check_pkey PRIMARY KEY (name, version)
        )
        """
    )
    op.execute("COMMENT ON COLUMN vault.key_check.value IS 'MAC of a known message'")
    # Kept once and never rewritten: whoever exchanges a key must not be able to exchange this with it.
    op.execute(f"GRANT SELECT, INSERT ON vault.key_check TO {APPLICATION}")


def downgrade() -> None:
    # Every start of a later release keeps it anew.
    op.execute("DROP TABLE vault.key_check")
