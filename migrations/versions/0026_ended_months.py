"""Months that are over: their keys are destroyed, and what is left of each says so."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE vault.expiry_key ALTER COLUMN wrapped DROP NOT NULL")
    op.execute("COMMENT ON COLUMN vault.expiry_key.wrapped IS 'null once the month has ended'")
    op.execute("ALTER TABLE vault.expiry_key ADD COLUMN ended_at TIMESTAMP WITH TIME ZONE")
    op.execute("ALTER TABLE vault.expiry_key ADD COLUMN records BIGINT DEFAULT 0 NOT NULL")
    op.execute(
        "COMMENT ON COLUMN vault.expiry_key.records IS 'how many record versions were removed with it'"
    )
    op.execute("ALTER TABLE vault.expiry_key ADD COLUMN destroyed_at TIMESTAMP WITH TIME ZONE")
    op.execute("ALTER TABLE vault.expiry_key ADD COLUMN final_on DATE")
    op.execute(
        "COMMENT ON COLUMN vault.expiry_key.final_on IS"
        " 'when no backup opens it any more; null where its provider keeps the key'"
    )
    op.execute(
        "ALTER TABLE vault.expiry_key ADD CONSTRAINT ended CHECK ((wrapped IS NULL) = (ended_at IS NOT NULL))"
    )
    op.execute(
        "ALTER TABLE vault.expiry_key ADD CONSTRAINT destroyed"
        " CHECK (destroyed_at IS NULL OR ended_at IS NOT NULL)"
    )
    op.execute(
        "CREATE INDEX record_to_carry ON vault.record (expiry_id)"
        " WHERE NOT superseded AND state <> ALL (ARRAY['annulled', 'repaired'])"
        " AND (display_until IS NULL OR"
        " extract(year FROM display_until) * 100 + extract(month FROM display_until) > expiry_id)"
    )


def downgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM vault.expiry_key WHERE ended_at IS NOT NULL) THEN
                RAISE EXCEPTION 'a month has ended: the revision before this one has no word for it';
            END IF;
        END $$
        """
    )
    op.execute("DROP INDEX vault.record_to_carry")
    op.execute("ALTER TABLE vault.expiry_key DROP CONSTRAINT destroyed")
    op.execute("ALTER TABLE vault.expiry_key DROP CONSTRAINT ended")
    for column in ("final_on", "destroyed_at", "records", "ended_at"):
        op.execute(f"ALTER TABLE vault.expiry_key DROP COLUMN {column}")
    op.execute("ALTER TABLE vault.expiry_key ALTER COLUMN wrapped SET NOT NULL")
