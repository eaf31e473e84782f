"""Retention: legal holds, what was removed, and what removes where the application may delete nothing."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"
_FUNCTIONS = (
    "consent.remove_ended(timestamptz, uuid[], integer)",
    "vault.remove_old_cases(timestamptz, uuid[])",
    "vault.remove_old_flags(timestamptz)",
)


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE vault.hold (
            hold_id UUID NOT NULL,
            kind TEXT NOT NULL,
            object_id UUID NOT NULL,
            reason TEXT NOT NULL,
            reference TEXT NOT NULL,
            placed_at TIMESTAMP WITH TIME ZONE NOT NULL,
            lifted_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT hold_pkey PRIMARY KEY (hold_id),
            CONSTRAINT hold_kind_check CHECK (kind IN ('person', 'case')),
            CONSTRAINT hold_period_check CHECK (lifted_at >= placed_at)
        )
        """
    )
    op.execute("COMMENT ON COLUMN vault.hold.object_id IS 'a person, or a case of a query not recognised'")
    op.execute("CREATE UNIQUE INDEX hold_one_stands ON vault.hold (kind, object_id) WHERE lifted_at IS NULL")
    op.execute(
        """
        CREATE TABLE vault.removal (
            log SMALLINT NOT NULL,
            month INTEGER NOT NULL,
            removed_at TIMESTAMP WITH TIME ZONE NOT NULL,
            payloads BIGINT NOT NULL,
            CONSTRAINT removal_pkey PRIMARY KEY (log, month)
        )
        """
    )
    op.execute("COMMENT ON COLUMN vault.removal.month IS 'yyyymm: their retention ended'")
    op.execute("COMMENT ON COLUMN vault.removal.payloads IS 'those held back excepted'")
    op.execute(f"GRANT SELECT, INSERT ON vault.hold, vault.removal TO {APPLICATION}")
    op.execute(f"GRANT UPDATE (lifted_at) ON vault.hold TO {APPLICATION}")
    _functions()
    for function in _FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {APPLICATION}")


def _functions() -> None:
    # The application may not delete history. It may ask for this, and the owner's floor holds in any case.
    op.execute(
        """
        CREATE FUNCTION vault.require_old(before timestamptz) RETURNS void
        LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            IF before > clock_timestamp() - interval '3 years' THEN
                RAISE EXCEPTION 'nothing is removed within three years'
                    USING ERRCODE = 'insufficient_privilege';
            END IF;
        END $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION consent.remove_ended(before timestamptz, held uuid[], most integer) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
        DECLARE
            removed integer;
        BEGIN
            PERFORM vault.require_old(before);
            WITH ended AS MATERIALIZED (
                SELECT c.subject_id, c.consent_id FROM consent.consent c
                WHERE (c.expires_at < before OR EXISTS (
                    SELECT FROM consent.consent_event e WHERE e.subject_id = c.subject_id
                    AND e.consent_id = c.consent_id AND e.event <> 'granted' AND e.at < before))
                AND NOT c.subject_id = ANY(held) LIMIT most
            ),
            tokens AS (DELETE FROM consent.refresh_token t USING ended
                WHERE (t.subject_id, t.consent_id) = (ended.subject_id, ended.consent_id)),
            codes AS (DELETE FROM consent.authorization_code t USING ended
                WHERE (t.subject_id, t.consent_id) = (ended.subject_id, ended.consent_id)),
            grants AS (DELETE FROM consent.oauth_grant t USING ended
                WHERE (t.subject_id, t.consent_id) = (ended.subject_id, ended.consent_id)),
            due AS (DELETE FROM consent.consent_due t USING ended
                WHERE (t.subject_id, t.consent_id) = (ended.subject_id, ended.consent_id)),
            uses AS (DELETE FROM consent.consent_use t USING ended
                WHERE (t.subject_id, t.consent_id) = (ended.subject_id, ended.consent_id)),
            events AS (DELETE FROM consent.consent_event t USING ended
                WHERE (t.subject_id, t.consent_id) = (ended.subject_id, ended.consent_id))
            DELETE FROM consent.consent t USING ended
                WHERE (t.subject_id, t.consent_id) = (ended.subject_id, ended.consent_id);
            GET DIAGNOSTICS removed = ROW_COUNT;
            RETURN removed;
        END $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION vault.remove_old_cases(before timestamptz, held uuid[]) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
        DECLARE
            removed integer;
        BEGIN
            PERFORM vault.require_old(before);
            DELETE FROM vault.access_case
                WHERE state = 'answered' AND changed_at < before AND NOT case_id = ANY(held);
            GET DIAGNOSTICS removed = ROW_COUNT;
            RETURN removed;
        END $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION vault.remove_old_flags(before timestamptz) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
        DECLARE
            removed integer;
        BEGIN
            PERFORM vault.require_old(before);
            DELETE FROM vault.flag WHERE raised_at < before;
            GET DIAGNOSTICS removed = ROW_COUNT;
            RETURN removed;
        END $$
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM vault.hold WHERE lifted_at IS NULL) THEN
                RAISE EXCEPTION 'a legal hold stands: the revision before this one would not keep to it';
            END IF;
        END $$
        """
    )
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP FUNCTION vault.require_old(timestamptz)")
    op.execute("DROP TABLE vault.removal")
    op.execute("DROP TABLE vault.hold")
