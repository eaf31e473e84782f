"""Versions of the provider's keys: which one makes what is new, and what each still holds."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"

# What a wrap of the file provider states of its version (FORMAT 8): until now there was no other provider.
_STATED = " | ".join(f"get_byte({{wrap}}, {at + 2}) << {24 - 8 * at}" for at in range(4))
_WRAPS = {"vault.subject": "wrapped_key", "vault.system_key": "wrapped"}
_GUARDED = (
    ("subject", "root_version", "root"),
    ("system_key", "root_version", "root"),
    ("identifier", "key_version", "index"),
)


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE vault.key_version (
            name TEXT NOT NULL,
            version SMALLINT NOT NULL,
            made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            retired_at TIMESTAMP WITH TIME ZONE,
            emptied_at TIMESTAMP WITH TIME ZONE,
            destroyed_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT key_version_pkey PRIMARY KEY (name, version),
            CONSTRAINT key_version_order_check CHECK (
                (emptied_at IS NULL OR retired_at IS NOT NULL)
                AND (destroyed_at IS NULL OR emptied_at IS NOT NULL)
            )
        )
        """
    )
    op.execute(
        "COMMENT ON COLUMN vault.key_version.retired_at IS 'since when a newer one makes all that is new'"
    )
    op.execute("COMMENT ON COLUMN vault.key_version.emptied_at IS 'since when nothing here needs it'")
    op.execute(
        "CREATE UNIQUE INDEX key_version_one_is_in_use ON vault.key_version (name) WHERE retired_at IS NULL"
    )
    # One key for all of an older vault; a new vault writes them with its first keys.
    op.execute(
        "INSERT INTO vault.key_version (name, version) SELECT name, 1 FROM (VALUES ('root'), ('index'))"
        " AS keys (name) WHERE EXISTS (SELECT FROM vault.system_key)"
    )
    for table, column in _WRAPS.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN root_version SMALLINT")
        op.execute(f"UPDATE {table} SET root_version = {_STATED.format(wrap=column)}")  # noqa: S608 -- names of ours
        op.execute(f"ALTER TABLE {table} ALTER COLUMN root_version SET NOT NULL")
        op.execute(f"COMMENT ON COLUMN {table}.root_version IS 'of the root key that wrapped it'")
    for table, column, name in _GUARDED:
        # Whoever writes holds the version in use until the commit, and whoever retires it waits for them: so
        # nothing is ever added under a retired version, and what is counted as left only gets less.
        op.execute(
            f"""
            CREATE FUNCTION vault.{table}_of_key_in_use() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE
                in_use smallint;
            BEGIN
                SELECT version INTO in_use FROM vault.key_version
                    WHERE name = '{name}' AND retired_at IS NULL FOR SHARE;
                IF in_use IS NULL OR EXISTS (SELECT FROM written WHERE {column} < in_use) THEN
                    RAISE EXCEPTION 'this version of the key {name} is retired'
                        USING ERRCODE = 'object_not_in_prerequisite_state', CONSTRAINT = 'key_in_use';
                END IF;
                RETURN NULL;
            END $$
            """  # noqa: S608 -- names of ours
        )
        op.execute(
            f"CREATE TRIGGER {table}_of_key_in_use AFTER INSERT ON vault.{table}"
            " REFERENCING NEW TABLE AS written FOR EACH STATEMENT"
            f" EXECUTE FUNCTION vault.{table}_of_key_in_use()"
        )
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON vault.key_version TO {APPLICATION}")


def downgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM vault.key_version WHERE retired_at IS NOT NULL) THEN
                RAISE EXCEPTION 'a key was rotated: the revision before this one would not find what is new';
            END IF;
        END $$
        """
    )
    for table, _, _ in _GUARDED:
        op.execute(f"DROP TRIGGER {table}_of_key_in_use ON vault.{table}")
        op.execute(f"DROP FUNCTION vault.{table}_of_key_in_use()")
    for table in _WRAPS:
        op.execute(f"ALTER TABLE {table} DROP COLUMN root_version")
    op.execute("DROP TABLE vault.key_version")
