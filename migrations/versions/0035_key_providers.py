"""In which key provider each version of a key lives, so that a vault can move from one to another."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_MAKER = "CASE get_byte(wrapped, 0) WHEN 2 THEN 'openbao' WHEN 3 THEN 'pkcs11' ELSE 'file' END"


def upgrade() -> None:
    # The default is what every version was before there was another provider.
    op.execute("ALTER TABLE vault.key_version ADD COLUMN provider TEXT NOT NULL DEFAULT 'file'")
    op.execute("COMMENT ON COLUMN vault.key_version.provider IS 'in which it lives'")
    # Until now a vault stayed with one, and each wrap says which (FORMAT 8).
    op.execute(
        f"UPDATE vault.key_version SET provider = (SELECT {_MAKER} FROM vault.system_key LIMIT 1)"  # noqa: S608 -- text of ours
        " WHERE EXISTS (SELECT FROM vault.system_key)"
    )


def downgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            IF (SELECT count(DISTINCT provider) FROM vault.key_version) > 1 THEN
                RAISE EXCEPTION 'the vault moved to another key provider: the revision before knows but one';
            END IF;
        END $$
        """
    )
    op.execute("ALTER TABLE vault.key_version DROP COLUMN provider")
