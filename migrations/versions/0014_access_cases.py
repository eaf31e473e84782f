"""Cases that persons open about queries they do not recognise."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE vault.access_case (
            case_id UUID NOT NULL,
            state TEXT NOT NULL,
            opened_index BIGINT NOT NULL,
            answered_index BIGINT,
            opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
            changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT access_case_pkey PRIMARY KEY (case_id),
            CONSTRAINT access_case_opened_index_key UNIQUE (opened_index),
            CONSTRAINT access_case_state_check CHECK (state IN ('open', 'taken up', 'answered')),
            CONSTRAINT access_case_answer_check
                CHECK ((state = 'answered') = (answered_index IS NOT NULL))
        )
        """
    )
    op.execute("COMMENT ON COLUMN vault.access_case.case_id IS 'keyed digest of person and entry'")
    op.execute("COMMENT ON COLUMN vault.access_case.opened_index IS 'of the entry that opened it'")
    op.execute("COMMENT ON COLUMN vault.access_case.answered_index IS 'of the entry that answers it'")
    # A case is closed by an answer and never taken out of the register.
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON vault.access_case TO {APPLICATION}")


def downgrade() -> None:
    op.execute("DROP TABLE vault.access_case")
