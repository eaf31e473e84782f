"""Desks: bodies that may help persons, and whom each clerk helped on a day."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    _capacities("'ask', 'furnish', 'inspect', 'desk'")
    op.execute(
        """
        CREATE TABLE consent.assisted (
            officer_id UUID NOT NULL,
            day DATE NOT NULL,
            subject_hash BYTEA NOT NULL,
            uses INTEGER NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT assisted_pkey PRIMARY KEY (officer_id, day, subject_hash),
            CONSTRAINT assisted_officer_id_fkey
                FOREIGN KEY (officer_id) REFERENCES consent.officer (officer_id),
            CONSTRAINT assisted_uses_check CHECK (uses > 0)
        )
        """
    )
    for column, comment in (
        ("day", "legal day"),
        ("subject_hash", "keyed hash, as in a token"),
        ("expires_at", "when it counts for nothing more"),
    ):
        op.execute(f"COMMENT ON COLUMN consent.assisted.{column} IS '{comment}'")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON consent.assisted TO {APPLICATION}")


def downgrade() -> None:
    op.execute("DROP TABLE consent.assisted")
    # It fails where a desk is registered: what it did stays in the log, and so must its body in the register.
    _capacities("'ask', 'furnish', 'inspect'")


def _capacities(known: str) -> None:
    op.execute("ALTER TABLE consent.body DROP CONSTRAINT body_capacities_check")
    op.execute(
        "ALTER TABLE consent.body ADD CONSTRAINT body_capacities_check"
        f" CHECK (cardinality(capacities) > 0 AND capacities <@ ARRAY[{known}])"
    )
