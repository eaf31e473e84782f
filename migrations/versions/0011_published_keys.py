"""Where bodies publish their keys, and when these were last looked for."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE consent.body ADD COLUMN jwks_uri TEXT,"
        " ADD COLUMN jwks_fetched_at TIMESTAMP WITH TIME ZONE,"
        " ADD COLUMN jwks_tried_at TIMESTAMP WITH TIME ZONE"
    )
    op.execute(
        "ALTER TABLE consent.body ADD CONSTRAINT body_jwks_uri_check"
        " CHECK ((jwks_uri IS NULL) = (jwks_fetched_at IS NULL))"
    )
    for column, comment in {
        "jwks_uri": "where the body publishes its keys; jwks holds those last found there",
        "jwks_fetched_at": "when they were last found there",
        "jwks_tried_at": "when they were last asked for",
    }.items():
        op.execute(f"COMMENT ON COLUMN consent.body.{column} IS '{comment}'")


def downgrade() -> None:
    op.execute("ALTER TABLE consent.body DROP CONSTRAINT body_jwks_uri_check")
    op.execute(
        "ALTER TABLE consent.body"
        " DROP COLUMN jwks_tried_at, DROP COLUMN jwks_fetched_at, DROP COLUMN jwks_uri"
    )
