"""Consents whose end is still to be written down."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE consent.consent_due (
            subject_id UUID NOT NULL,
            consent_id UUID NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT consent_due_pkey PRIMARY KEY (subject_id, consent_id),
            CONSTRAINT consent_due_subject_id_consent_id_fkey FOREIGN KEY (subject_id, consent_id)
                REFERENCES consent.consent (subject_id, consent_id)
        )
        """
    )
    op.execute("CREATE INDEX consent_due_expires_at_idx ON consent.consent_due (expires_at)")
    op.execute(
        "COMMENT ON TABLE consent.consent_due"
        " IS 'consents that stand; a row goes when the end of its consent is written down'"
    )
    op.execute(
        "INSERT INTO consent.consent_due (subject_id, consent_id, expires_at)"
        " SELECT c.subject_id, c.consent_id, c.expires_at FROM consent.consent c"
        " WHERE NOT EXISTS (SELECT FROM consent.consent_event e WHERE e.subject_id = c.subject_id"
        " AND e.consent_id = c.consent_id AND e.number > 1)"
    )
    op.execute("GRANT SELECT, INSERT, DELETE ON consent.consent_due TO creditvault_app")


def downgrade() -> None:
    op.execute("DROP TABLE consent.consent_due")
