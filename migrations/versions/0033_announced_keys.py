"""Later versions of keys of the system, and since when each is in use."""

from alembic import op
from sqlalchemy import text

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE vault.announced_key (
            name TEXT NOT NULL,
            version SMALLINT NOT NULL,
            announced_at TIMESTAMP WITH TIME ZONE NOT NULL,
            in_use_from TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT announced_key_pkey PRIMARY KEY (name, version),
            CONSTRAINT announced_key_version_check CHECK (version > 1),
            CONSTRAINT announced_key_period_check CHECK (in_use_from >= announced_at)
        )
        """
    )
    for column, comment in {
        "version": "of the key; 1 is the first and stands in no row",
        "in_use_from": "from then on until a later one is",
    }.items():
        op.execute(f"COMMENT ON COLUMN vault.announced_key.{column} IS '{comment}'")
    # Which key was in use when is history: it is added to and never rewritten.
    op.execute(f"GRANT SELECT, INSERT ON vault.announced_key TO {APPLICATION}")


def downgrade() -> None:
    if op.get_bind().scalar(text("SELECT count(*) FROM vault.announced_key")):
        # The program before knows the first keys alone: what later ones signed would verify no more.
        raise RuntimeError("keys of the system were changed: this database cannot go back before 0033")
    op.execute("DROP TABLE vault.announced_key")
