"""Refresh tokens, as digests, beside the OAuth grant each belongs to."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE consent.refresh_token (
            refresh_hash BYTEA NOT NULL,
            subject_id UUID NOT NULL,
            consent_id UUID NOT NULL,
            body_id UUID NOT NULL,
            issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT refresh_token_pkey PRIMARY KEY (refresh_hash),
            CONSTRAINT refresh_token_subject_id_consent_id_fkey FOREIGN KEY (subject_id, consent_id)
                REFERENCES consent.oauth_grant (subject_id, consent_id),
            CONSTRAINT refresh_token_refresh_hash_check CHECK (octet_length(refresh_hash) = 32),
            CONSTRAINT refresh_token_body_id_fkey FOREIGN KEY (body_id) REFERENCES consent.body (body_id)
        )
        """
    )
    op.execute("COMMENT ON COLUMN consent.refresh_token.refresh_hash IS 'SHA-256 of the refresh token'")
    op.execute("COMMENT ON COLUMN consent.refresh_token.expires_at IS 'when the consent ends'")
    op.execute(f"GRANT SELECT, INSERT, DELETE ON consent.refresh_token TO {APPLICATION}")


def downgrade() -> None:
    op.execute("DROP TABLE consent.refresh_token")
