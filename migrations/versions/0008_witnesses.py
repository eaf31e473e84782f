"""The log's witnesses: what each cosigned last, how it failed, and the newest witnessed checkpoint."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE access_log.witness (
            log SMALLINT NOT NULL,
            key TEXT NOT NULL,
            name TEXT NOT NULL,
            size BIGINT NOT NULL,
            time TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT witness_pkey PRIMARY KEY (log, key)
        )
        """
    )
    op.execute("COMMENT ON COLUMN access_log.witness.key IS 'its verifier key'")
    op.execute("COMMENT ON COLUMN access_log.witness.name IS 'its name in the policy'")
    op.execute(
        """
        CREATE TABLE access_log.witness_failure (
            log SMALLINT NOT NULL,
            key TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            count BIGINT NOT NULL,
            time TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT witness_failure_pkey PRIMARY KEY (log, key, kind)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE access_log.witnessed (
            log SMALLINT NOT NULL,
            size BIGINT NOT NULL,
            note TEXT NOT NULL,
            time TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT witnessed_pkey PRIMARY KEY (log)
        )
        """
    )
    op.execute("COMMENT ON COLUMN access_log.witnessed.note IS 'the checkpoint with its cosignatures'")
    op.execute(
        "GRANT SELECT, INSERT, UPDATE ON access_log.witness, access_log.witness_failure, access_log.witnessed"
        f" TO {APPLICATION}"
    )


def downgrade() -> None:
    op.execute("DROP TABLE access_log.witness, access_log.witness_failure, access_log.witnessed")
