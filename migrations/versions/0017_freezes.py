"""Freezes: persons who let nobody ask with their consent."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE consent.freeze_event (
            subject_id UUID NOT NULL,
            number INTEGER NOT NULL,
            event TEXT NOT NULL,
            at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT freeze_event_pkey PRIMARY KEY (subject_id, number),
            CONSTRAINT freeze_event_number_check CHECK (number > 0),
            CONSTRAINT freeze_event_event_check
                CHECK (event = CASE number % 2 WHEN 1 THEN 'begun' ELSE 'ended' END)
        )
        """
    )
    op.execute("COMMENT ON COLUMN consent.freeze_event.number IS '1 is the first beginning'")
    op.execute("GRANT SELECT, INSERT ON consent.freeze_event TO creditvault_app")


def downgrade() -> None:
    op.execute("DROP TABLE consent.freeze_event")
