"""The witnessed checkpoint in a published folder: covered, never older, and found good by its readers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from access_log import cli
from access_log.checkpoint import Checkpoint, open_note
from access_log.errors import FolderError
from access_log.log import Log
from access_log.policy import Policy
from access_log.publishing import publish
from access_log.witness.witnessing import Witnessing
from access_log.witnessed.publishing import publish_witnessed
from tests.access_log.logs import append, as_owner, keys_of
from tests.access_log.witness.served import Witness, policy, policy_of, witness
from tests.conftest import ORIGIN


@pytest.fixture
async def pair(log: Log, tmp_path: Path) -> AsyncIterator[list[Witness]]:
    async with (
        witness(tmp_path, "one", *keys_of(log)) as one,
        witness(tmp_path, "two", *keys_of(log), number=2) as two,
    ):
        yield [one, two]


@pytest.fixture
def agreed(pair: list[Witness]) -> Policy:
    return policy("any", *pair)


@pytest.fixture
async def witnessing(log: Log, agreed: Policy) -> AsyncIterator[Witnessing]:
    made = Witnessing(log.engine, log.number, log.origin, agreed, log.every_verifier_key, timeout=5)
    yield made
    await made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "published"


def witnessed_size(log: Log, folder: Path) -> int:
    return open_note((folder / "witnessed").read_bytes(), keys_of(log)).size


async def test_it_stands_there_once_it_is_covered(
    log: Log, folder: Path, agreed: Policy, witnessing: Witnessing
) -> None:
    await append(log, 300)
    await publish(log, folder)
    assert await publish_witnessed(log, folder, agreed) is None
    await witnessing.ask(log.outside.read())
    assert await publish_witnessed(log, folder, agreed) == 300
    await append(log, 5)
    await witnessing.ask(log.outside.read())
    # The folder does not hold what this one promises.
    assert await publish_witnessed(log, folder, agreed) == 300
    assert witnessed_size(log, folder) == 300
    await publish(log, folder)
    assert await publish_witnessed(log, folder, agreed) == 305
    assert witnessed_size(log, folder) == 305


async def test_an_inspector_finds_it_good(
    log: Log, folder: Path, witnessing: Witnessing, pair: list[Witness], tmp_path: Path
) -> None:
    await append(log, 300)
    await witnessing.ask(log.outside.read())
    await append(log, 5)
    await publish(log, folder)
    await publish_witnessed(log, folder, witnessing.policy)
    file = tmp_path / "witnesses.policy"
    file.write_text("".join(f"log {key}\n" for key in keys_of(log)) + policy_of("all", *pair))
    assert cli.main(["verify", str(folder), "--policy", str(file)]) == 0


async def test_nothing_before_the_log_itself(
    log: Log, folder: Path, agreed: Policy, witnessing: Witnessing
) -> None:
    await append(log, 3)
    await witnessing.ask(log.outside.read())
    assert await publish_witnessed(log, folder, agreed) is None
    assert not (folder / "witnessed").exists()


async def test_more_cosignatures_are_added_and_none_is_thrown_away(
    log: Log, folder: Path, agreed: Policy, witnessing: Witnessing, owner_url: str
) -> None:
    await append(log, 3)
    await publish(log, folder)
    await witnessing.ask(log.outside.read())
    await publish_witnessed(log, folder, agreed)
    both = (folder / "witnessed").read_bytes()
    lines = both.decode().splitlines(keepends=True)
    # As it stood there while only the first had answered.
    (folder / "witnessed").write_text("".join(lines[:-1]))
    assert await publish_witnessed(log, folder, agreed) == 3
    assert (folder / "witnessed").read_bytes() == both
    as_owner(owner_url, "UPDATE access_log.witnessed SET note = :note", note="".join(lines[:-1]))
    assert await publish_witnessed(log, folder, agreed) == 3
    assert (folder / "witnessed").read_bytes() == both


async def test_an_older_one_never_takes_its_place(
    log: Log, folder: Path, agreed: Policy, witnessing: Witnessing, owner_url: str
) -> None:
    await append(log, 3)
    await witnessing.ask(log.outside.read())
    await publish(log, folder)
    await publish_witnessed(log, folder, agreed)
    older = (folder / "witnessed").read_text()
    await append(log, 4)
    await witnessing.ask(log.outside.read())
    await publish(log, folder)
    assert await publish_witnessed(log, folder, agreed) == 7
    as_owner(owner_url, "UPDATE access_log.witnessed SET size = 3, note = :note", note=older)
    assert await publish_witnessed(log, folder, agreed) == 7
    assert witnessed_size(log, folder) == 7


async def test_what_stands_there_must_be_this_logs(
    log: Log, folder: Path, agreed: Policy, witnessing: Witnessing
) -> None:
    await append(log, 3)
    await witnessing.ask(log.outside.read())
    await publish(log, folder)
    for junk in (b"", b"\xff", b"x" * 300_000):
        (folder / "witnessed").write_bytes(junk)
        with pytest.raises(FolderError, match="not this log's"):
            await publish_witnessed(log, folder, agreed)
        assert (folder / "witnessed").read_bytes() == junk


async def test_a_tree_that_was_altered_since_is_not_published(
    log: Log, folder: Path, agreed: Policy, witnessing: Witnessing, owner_url: str
) -> None:
    await append(log, 300)
    await witnessing.ask(log.outside.read())
    await publish(log, folder)
    as_owner(owner_url, "UPDATE access_log.tile SET root = sha256(root)")
    with pytest.raises(FolderError, match="another tree"):
        await publish_witnessed(log, folder, agreed)
    assert not (folder / "witnessed").exists()


async def test_another_tree_there_is_left_as_it_is(
    log: Log, folder: Path, agreed: Policy, witnessing: Witnessing
) -> None:
    await append(log, 3)
    await publish(log, folder)
    forged = log.key.sign(Checkpoint(ORIGIN, 2, bytes(32)))
    (folder / "witnessed").write_text(forged)
    await witnessing.ask(log.outside.read())
    with pytest.raises(FolderError, match="another tree"):
        await publish_witnessed(log, folder, agreed)
    assert (folder / "witnessed").read_text() == forged
