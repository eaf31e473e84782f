"""Sealed payloads in the row they belong to, uncompressed: no second table and index for each."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Ciphertext does not compress, and a query's payload is just over the 2 KB from which PostgreSQL moves a
    # value into pieces elsewhere. Up to 4 KB, two rows to a page, it stays in its row.
    op.execute("ALTER TABLE access_log.payload ALTER COLUMN sealed SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE access_log.payload SET (toast_tuple_target = 4080)")


def downgrade() -> None:
    op.execute("ALTER TABLE access_log.payload RESET (toast_tuple_target)")
    op.execute("ALTER TABLE access_log.payload ALTER COLUMN sealed SET STORAGE EXTENDED")
