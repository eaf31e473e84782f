"""Failed authentications of clients, counted across all workers."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE consent.failed_authentication (
            counted_hash BYTEA NOT NULL,
            failures INTEGER NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT failed_authentication_pkey PRIMARY KEY (counted_hash)
        )
        """
    )
    for column, comment in {
        "counted_hash": "SHA-256 of the address or the client",
        "failures": "since the period began",
        "expires_at": "when the period ends",
    }.items():
        op.execute(f"COMMENT ON COLUMN consent.failed_authentication.{column} IS '{comment}'")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON consent.failed_authentication TO {APPLICATION}")


def downgrade() -> None:
    op.execute("DROP TABLE consent.failed_authentication")
