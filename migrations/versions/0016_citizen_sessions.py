"""Sessions of citizens fall idle, and can be ended by the identity provider."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Whoever is signed in signs in again: how they did is not known of the sessions that stand.
    op.execute("DELETE FROM vault.citizen_session")
    op.execute("DELETE FROM vault.single_use WHERE kind = 'sign-in'")
    op.execute("ALTER TABLE vault.citizen_session RENAME COLUMN authenticated_at TO opened_at")
    op.execute(
        """
        ALTER TABLE vault.citizen_session
            ADD COLUMN ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
            ADD COLUMN provider_session BYTEA,
            ADD CONSTRAINT session_provider CHECK (octet_length(provider_session) = 32)
        """
    )
    op.execute("CREATE INDEX citizen_session_by_provider ON vault.citizen_session (provider_session)")
    op.execute("COMMENT ON COLUMN vault.citizen_session.expires_at IS 'moves with each request'")
    op.execute("COMMENT ON COLUMN vault.citizen_session.ends_at IS 'never moves'")
    op.execute(
        "COMMENT ON COLUMN vault.citizen_session.provider_session"
        " IS 'SHA-256 of the provider''s name of its session'"
    )


def downgrade() -> None:
    op.execute("DELETE FROM vault.citizen_session")
    op.execute("DELETE FROM vault.single_use WHERE kind = 'sign-in'")
    op.execute("DROP INDEX vault.citizen_session_by_provider")
    op.execute("COMMENT ON COLUMN vault.citizen_session.expires_at IS NULL")
    op.execute("ALTER TABLE vault.citizen_session DROP COLUMN provider_session, DROP COLUMN ends_at")
    op.execute("ALTER TABLE vault.citizen_session RENAME COLUMN opened_at TO authenticated_at")
