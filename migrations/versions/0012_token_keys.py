"""Which keys of the server sign access tokens, and since when."""

from alembic import op
from sqlalchemy import text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE consent.token_key (
            version SMALLINT NOT NULL,
            key_id UUID NOT NULL,
            announced_at TIMESTAMP WITH TIME ZONE NOT NULL,
            signs_from TIMESTAMP WITH TIME ZONE NOT NULL,
            others_until TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT token_key_pkey PRIMARY KEY (version),
            CONSTRAINT token_key_version_check CHECK (version > 1),
            CONSTRAINT token_key_period_check
                CHECK (signs_from >= announced_at AND others_until >= announced_at)
        )
        """
    )
    for column, comment in {
        "version": "of the key; 1 is the first and stands in no row",
        "key_id": "object of its register event",
        "signs_from": "from then on it signs",
        "others_until": "from then on no token of an earlier key is accepted",
    }.items():
        op.execute(f"COMMENT ON COLUMN consent.token_key.{column} IS '{comment}'")
    # Which key signed when is history: it is added to and never rewritten.
    op.execute(f"GRANT SELECT, INSERT ON consent.token_key TO {APPLICATION}")


def downgrade() -> None:
    if op.get_bind().scalar(text("SELECT count(*) FROM consent.token_key")):
        # The program before knows the first key alone and would sign with what was retired.
        raise RuntimeError("the keys of access tokens were changed: this database cannot go back before 0012")
    op.execute("DROP TABLE consent.token_key")
