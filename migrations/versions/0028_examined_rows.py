"""Where the rows of a whole file stand while they are examined: never committed, so never for long."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE UNLOGGED TABLE vault.examined (
            run UUID NOT NULL,
            reference BYTEA NOT NULL,
            owner BYTEA NOT NULL,
            record_id UUID NOT NULL,
            version INTEGER NOT NULL,
            category TEXT NOT NULL,
            shown BOOLEAN NOT NULL,
            contents BYTEA[] NOT NULL,
            CONSTRAINT examined_pkey PRIMARY KEY (run, reference)
        )
        """
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON vault.examined TO creditvault_app")


def downgrade() -> None:
    op.execute("DROP TABLE vault.examined")
