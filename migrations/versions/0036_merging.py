"""Identities that are one person's: which are joined, and the history of merges and splits."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute("ALTER TABLE vault.subject ADD COLUMN joined UUID")
    op.execute(
        "COMMENT ON COLUMN vault.subject.joined IS"
        " 'shared with the other identities of the same person, if it is joined'"
    )
    op.execute("CREATE INDEX subject_joined ON vault.subject (joined) WHERE joined IS NOT NULL")
    op.execute(
        """
        CREATE TABLE consent.merge_event (
            subject_id UUID NOT NULL,
            number INTEGER NOT NULL,
            event TEXT NOT NULL,
            others UUID[] NOT NULL,
            joined BOOLEAN NOT NULL,
            order_id UUID,
            reason TEXT NOT NULL,
            document_hash BYTEA,
            at TIMESTAMP WITH TIME ZONE NOT NULL,
            entry_index BIGINT NOT NULL,
            CONSTRAINT merge_event_pkey PRIMARY KEY (subject_id, number),
            CONSTRAINT merge_event_number_check CHECK (number > 0),
            CONSTRAINT merge_event_event_check
                CHECK (event = 'split' OR (event = 'merged' AND joined)),
            CONSTRAINT merge_event_others_check
                CHECK (cardinality(others) > 0 AND subject_id <> ALL (others)),
            CONSTRAINT merge_event_document_hash_check CHECK (octet_length(document_hash) = 32)
        )
        """
    )
    for column, comment in (
        ("others", "whom it was joined with, or taken apart from"),
        ("joined", "whether it is joined with anybody from then on"),
        ("order_id", "null where an operator did it while the vault was set up"),
        ("document_hash", "SHA-256; null where it was done once more after a restore"),
        ("entry_index", "of its entry in this identity''s stream"),
    ):
        op.execute(f"COMMENT ON COLUMN consent.merge_event.{column} IS '{comment}'")
    # History: it is added to and never rewritten.
    op.execute(f"GRANT SELECT, INSERT ON consent.merge_event TO {APPLICATION}")


def downgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM consent.merge_event) THEN
                RAISE EXCEPTION 'identities were merged: the revision before this one has no word for it';
            END IF;
        END $$
        """
    )
    op.execute("DROP TABLE consent.merge_event")
    op.execute("ALTER TABLE vault.subject DROP COLUMN joined")
