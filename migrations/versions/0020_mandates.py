"""Mandates: persons who may act for others."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE consent.mandate (
            subject_id UUID NOT NULL,
            mandate_id UUID NOT NULL,
            representative_id UUID NOT NULL,
            kind TEXT NOT NULL,
            rights TEXT[] NOT NULL,
            document_hash BYTEA,
            given_at TIMESTAMP WITH TIME ZONE NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
            ended_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT mandate_pkey PRIMARY KEY (subject_id, mandate_id),
            CONSTRAINT mandate_somebody_else_check CHECK (representative_id <> subject_id),
            CONSTRAINT mandate_kind_check CHECK (kind IN ('lawyer', 'relative', 'other')),
            CONSTRAINT mandate_rights_check
                CHECK (cardinality(rights) > 0 AND rights <@ ARRAY['read', 'withdraw', 'freeze']),
            CONSTRAINT mandate_document_hash_check CHECK (octet_length(document_hash) = 32),
            CONSTRAINT mandate_validity_check CHECK (expires_at > given_at AND ended_at >= given_at)
        )
        """
    )
    op.execute("CREATE INDEX mandate_representative_id_idx ON consent.mandate (representative_id)")
    op.execute("COMMENT ON COLUMN consent.mandate.document_hash IS 'SHA-256, where there is a document'")
    op.execute("COMMENT ON COLUMN consent.mandate.ended_at IS 'when one of the two ended it'")
    op.execute("GRANT SELECT, INSERT ON consent.mandate TO creditvault_app")
    op.execute("GRANT UPDATE (ended_at) ON consent.mandate TO creditvault_app")


def downgrade() -> None:
    op.execute("DROP TABLE consent.mandate")
