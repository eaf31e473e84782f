"""What the application role may do to the log's tables: add, and hardly anything else."""

import re

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from access_log.log import Log
from tests.access_log.logs import append

NO = re.compile("permission denied|must be owner")
REFUSED = [
    "UPDATE access_log.entry SET entry = entry",
    "DELETE FROM access_log.entry",
    "TRUNCATE access_log.entry",
    "UPDATE access_log.entry_0 SET entry = entry",
    "DELETE FROM access_log.entry_0",
    "TRUNCATE access_log.entry_0",
    "INSERT INTO access_log.entry_0 VALUES (1, 7, decode(repeat('00', 106), 'hex'))",
    "SELECT * FROM access_log.entry_0",
    "ALTER TABLE access_log.entry DISABLE TRIGGER USER",
    "ALTER TABLE access_log.entry DETACH PARTITION access_log.entry_0",
    "DROP TRIGGER entry_is_append_only ON access_log.entry",
    "CREATE OR REPLACE FUNCTION access_log.refuse_change() RETURNS trigger LANGUAGE sql RETURN 1",
    "UPDATE access_log.tile SET root = root",
    "DELETE FROM access_log.tile",
    "TRUNCATE access_log.tile",
    "UPDATE access_log.payload SET sealed = sealed",
    "TRUNCATE access_log.payload",
    "UPDATE access_log.request SET body = body",
    "DELETE FROM access_log.head",
    "TRUNCATE access_log.head",
    "UPDATE access_log.key_change SET document = document",
    "DELETE FROM access_log.key_change",
    "UPDATE access_log.root_key_change SET document = document",
    "DELETE FROM access_log.root_key_change",
    "TRUNCATE access_log.key_change",
    "DROP TABLE access_log.tile",
    "CREATE TABLE access_log.mine (n int)",
    "SET session_replication_role = replica",
    "SET ROLE creditvault_owner",
    "CREATE ROLE somebody",
    "UPDATE public.alembic_version SET version_num = 'x'",
    "UPDATE consent.consent SET purpose = purpose",
    "DELETE FROM consent.consent_event",
    "DELETE FROM consent.register_event",
    "CREATE TABLE vault.mine (n int)",
    "CREATE TABLE public.mine (n int)",
]


@pytest.fixture
async def written(log: Log) -> Log:
    await append(log, 2)
    return log


async def test_the_application_role_is_refused(written: Log) -> None:
    """One at a time, each in a transaction of its own."""
    answers = {statement: await answer(written, statement) for statement in REFUSED}
    assert [statement for statement, text in answers.items() if not NO.search(text)] == []


async def answer(log: Log, statement: str) -> str:
    """The database's error, or nothing where the statement passed."""
    try:
        async with log.engine.begin() as connection:
            await connection.execute(text(statement))
    except ProgrammingError as error:
        return str(error.orig)
    return ""


async def test_an_entry_has_106_bytes_and_one_place(written: Log) -> None:
    for values in ("1, 0, decode(repeat('00', 106), 'hex')", "1, 2, decode(repeat('00', 105), 'hex')"):
        with pytest.raises(DBAPIError, match=r"duplicate key|entry_is_106_bytes"):
            async with written.engine.begin() as connection:
                await connection.execute(text(f"INSERT INTO access_log.entry VALUES ({values})"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access_log.entry SET entry = entry",
        "DELETE FROM access_log.entry WHERE index = 0",
        "TRUNCATE access_log.entry",
        "DELETE FROM access_log.entry_0 WHERE index = 0",
    ],
)
@pytest.mark.usefixtures("written")
async def test_the_owner_meets_the_triggers(owner_url: str, statement: str) -> None:
    """What an owner does by mistake; one on purpose takes the triggers off, and the verifier finds it."""
    owner = create_engine(owner_url)
    with owner.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text(statement))
    owner.dispose()


async def test_others_may_not_make_partitions(written: Log) -> None:
    async with written.engine.connect() as connection:
        allowed = await connection.scalars(
            text(
                "SELECT grantee::regrole::text FROM pg_proc,"
                " aclexplode(coalesce(proacl, acldefault('f', proowner)))"
                " WHERE proname = 'make_partitions' AND privilege_type = 'EXECUTE' ORDER BY 1"
            )
        )
        assert list(allowed) == ["creditvault_app", "creditvault_owner"]
