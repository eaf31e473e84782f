"""Documents of operator entries: what mended a log, and which payloads were lost with a database."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE access_log.document ("
        " log SMALLINT NOT NULL, index BIGINT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (log, index))"
    )
    # What was declared is history, as its entry is: it is added to and never rewritten.
    op.execute("GRANT SELECT, INSERT ON access_log.document TO creditvault_app")


def downgrade() -> None:
    op.execute("DROP TABLE access_log.document")
