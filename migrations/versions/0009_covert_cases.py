"""Delayed notice in the terms of authorizations, and the covert cases it opens."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute("ALTER TABLE consent.authorization ADD COLUMN court_reference TEXT")
    op.execute("ALTER TABLE consent.authorization ADD COLUMN notice_until TIMESTAMP WITH TIME ZONE")
    op.execute(
        "ALTER TABLE consent.authorization ADD CONSTRAINT authorization_delayed_notice_check"
        " CHECK ((court_reference IS NULL) = (notice_until IS NULL)"
        " AND (notice_until IS NULL OR scope = 'named'))"
    )
    op.execute(
        "COMMENT ON COLUMN consent.authorization.court_reference IS"
        " 'of the court that ordered the delay of notice'"
    )
    op.execute("COMMENT ON COLUMN consent.authorization.notice_until IS 'when the persons named are told'")
    op.execute(
        """
        CREATE TABLE vault.covert_case (
            subject_id UUID NOT NULL,
            authorization_id UUID NOT NULL,
            body_id UUID NOT NULL,
            stream_id BYTEA NOT NULL,
            court_reference TEXT NOT NULL,
            opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
            ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
            disclosed_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT covert_case_pkey PRIMARY KEY (subject_id, authorization_id),
            CONSTRAINT covert_case_subject_id_fkey FOREIGN KEY (subject_id)
                REFERENCES vault.subject (subject_id),
            CONSTRAINT covert_case_stream_id_key UNIQUE (stream_id),
            CONSTRAINT covert_case_court_reference_check CHECK (length(btrim(court_reference)) > 0),
            CONSTRAINT covert_case_period_check CHECK (ends_at > opened_at),
            CONSTRAINT covert_case_disclosure_check CHECK (disclosed_at >= ends_at)
        )
        """
    )
    op.execute("CREATE INDEX covert_case_due ON vault.covert_case (ends_at) WHERE disclosed_at IS NULL")
    op.execute("COMMENT ON COLUMN vault.covert_case.ends_at IS 'from then on nothing is covert any more'")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON vault.covert_case TO {APPLICATION}")


def downgrade() -> None:
    op.execute("DROP TABLE vault.covert_case")
    op.execute("ALTER TABLE consent.authorization DROP COLUMN notice_until, DROP COLUMN court_reference")
