"""Erasure of a person: who was erased by whose order, and whose stream was whose."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE consent.erasure (
            subject_id UUID NOT NULL,
            order_id UUID,
            with_log BOOLEAN NOT NULL,
            erased_at TIMESTAMP WITH TIME ZONE NOT NULL,
            certificate TEXT,
            CONSTRAINT erasure_pkey PRIMARY KEY (subject_id)
        )
        """
    )
    op.execute("COMMENT ON COLUMN consent.erasure.order_id IS 'null where a restored database lacks it'")
    op.execute(
        "COMMENT ON COLUMN consent.erasure.certificate IS"
        " 'JWS compact; null where it was done once more after a restore'"
    )
    op.execute(
        """
        CREATE TABLE vault.erased_subject (
            subject_id UUID NOT NULL,
            stream_id BYTEA NOT NULL,
            CONSTRAINT erased_subject_pkey PRIMARY KEY (subject_id),
            CONSTRAINT erased_subject_stream_id_key UNIQUE (stream_id)
        )
        """
    )
    op.execute(f"GRANT SELECT, INSERT ON consent.erasure, vault.erased_subject TO {APPLICATION}")


def downgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM consent.erasure) THEN
                RAISE EXCEPTION 'somebody was erased: the revision before this one has no word for it';
            END IF;
        END $$
        """
    )
    op.execute("DROP TABLE vault.erased_subject")
    op.execute("DROP TABLE consent.erasure")
