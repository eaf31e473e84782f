"""The key of a log of roots is changed: auditors, people and publication follow (FORMAT 5.4)."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.checkpoint import open_note
from access_log.cli import main as inspect
from access_log.errors import AccessLogError, FormatError, VerificationError
from access_log.findings import Findings
from access_log.key_history import MAX_HISTORY
from access_log.publishing import publish
from access_log.roots import key_changes
from access_log.roots.examining import examine_roots
from access_log.roots.key_changes import Change, epochs_at
from access_log.roots.key_history import follow, parse_history
from access_log.roots.log import RootsLog
from access_log.roots.proofs import LabelProofs
from access_log.roots.publishing import publish_roots
from access_log.roots.rotate import change_roots_key
from access_log.roots.statement import verify_statement
from tests.access_log.logs import another_worker
from tests.access_log.roots.clocked import KEY, SIGNERS, ClockedLog, clocked_log


@pytest.fixture
async def log(database: AsyncEngine, tmp_path: Path) -> ClockedLog:
    return await clocked_log(database, tmp_path)


@pytest.fixture
async def roots(log: ClockedLog) -> RootsLog:
    opened = RootsLog(log, SIGNERS)
    await opened.create()
    await log.at("2026-07-01", 5)
    await opened.catch_up()
    return opened


async def history_of(roots: RootsLog) -> str:
    async with roots.log.engine.connect() as connection:
        return await roots.key_history(connection)


async def note_of(roots: RootsLog) -> str:
    async with roots.log.engine.connect() as connection:
        return await roots.checkpoint(connection)


def test_a_tree_is_signed_by_the_keys_of_its_time_and_the_newest() -> None:
    changes = [Change(2, 7, "", 10), Change(3, 9, "", 20), Change(4, 11, "", None)]
    found = {size: epochs_at(changes, size) for size in (0, 9, 10, 11, 20, 21)}
    assert found == {0: [1, 3], 9: [1, 3], 10: [1, 2, 3], 11: [2, 3], 20: [2, 3], 21: [3]}
    assert epochs_at([], 5) == epochs_at(changes[2:], 5) == [1]


async def test_both_keys_sign_the_first_tree_that_covers_the_entry_and_then_the_new_one_alone(
    log: ClockedLog, roots: RootsLog
) -> None:
    other = RootsLog(another_worker(log.engine, log.outside.path), SIGNERS)
    before = await note_of(roots)
    first = (KEY.key,)
    done = await change_roots_key(log, roots, "test", "operator")
    new = (done.key,)
    assert (done.epoch, done.index, done.size, done.resumed) == (2, 5, 2, False)
    changeover = await note_of(roots)
    assert open_note(changeover, first) == open_note(changeover, new)
    assert await other.verifier_keys() == first + new
    await log.at("2026-07-02", 3)
    await other.catch_up()  # A process that was told nothing.
    after = await note_of(roots)
    assert open_note(after, new).size == 3
    with pytest.raises(VerificationError, match="follow-keys"):
        open_note(after, first)
    succession = follow(parse_history(await history_of(other)), first)
    assert [succession.open_note(note).size for note in (before, changeover, after)] == [1, 2, 3]
    assert succession.keys == new
    # Whoever has the new key needs no way to it.
    assert follow(parse_history(await history_of(other)), new).keys == new
    second = await change_roots_key(other.log, other, "test", "operator")  # type: ignore[arg-type]
    assert follow(parse_history(await history_of(roots)), first).keys == (second.key,)
    async with log.engine.connect() as connection:
        findings = Findings()
        await examine_roots(connection, roots, findings, end=10, progress=lambda _: None)
    assert findings.listed() == ()


async def test_what_was_begun_is_completed_by_whoever_appends_next(
    log: ClockedLog, roots: RootsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(_roots: RootsLog) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RootsLog, "catch_up", killed)
        with pytest.raises(KeyboardInterrupt):
            await change_roots_key(log, roots, "test", "operator")
    assert await roots.verifier_keys() == (KEY.key,)
    assert json.loads(await history_of(roots))["changes"] == []
    done = await change_roots_key(log, roots, "test", "operator")
    assert (done.epoch, done.index, done.resumed) == (2, 5, True)
    async with log.engine.connect() as connection:
        assert len(await key_changes.every(connection, roots.number)) == 1
    assert follow(parse_history(await history_of(roots)), [KEY.key]).keys == (done.key,)


async def test_a_label_is_proved_to_who_has_either_key(log: ClockedLog, roots: RootsLog) -> None:
    await roots.crown()
    done = await change_roots_key(log, roots, "test", "operator")
    proved = await LabelProofs(roots).prove(202607, [bytes(32)])
    assert proved is not None
    assert verify_statement(proved.statement, [KEY.key]).index == 0
    assert verify_statement(proved.statement, [done.key]).index == 0


async def test_an_auditor_with_the_first_key_follows_and_so_does_its_state_file(
    log: ClockedLog, roots: RootsLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, state = tmp_path / "published", tmp_path / "state"
    audit = ["audit-roots", str(folder), "--log-key", log.key.verifier_key(), "--state", str(state)]
    for moment in ("2026-07-03", "2026-08-01"):
        await log.at(moment)
        await roots.catch_up()
        await publish(log, folder)
        await publish_roots(roots, folder)
        assert inspect([*audit, "--roots-key", KEY.verifier_key()]) == 0
        done = await change_roots_key(log, roots, "test", "operator")
    capsys.readouterr()
    await publish(log, folder)
    await publish_roots(roots, folder)
    follow_keys = ["follow-keys", str(folder)]
    assert inspect([*follow_keys, "--roots-key", KEY.verifier_key()]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(done.key)
    assert inspect([*audit[:4], "--roots-key", str(done.key)]) == 0
    assert inspect([*follow_keys]) == 2
    altered = json.loads((folder / "roots" / "keys").read_text())
    altered["changes"][0]["document"] += " "
    (folder / "roots" / "keys").write_text(json.dumps(altered))
    assert inspect([*audit, "--roots-key", KEY.verifier_key()]) == 1


def other_key(change: dict[str, Any]) -> None:
    document = json.loads(change["document"])
    document["keys"] = [KEY.verifier_key()]
    change["document"] = json.dumps(document, ensure_ascii=False, separators=(",", ":"))


ALTERED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another document": (other_key, "not the one the entry commits to"),
    "another index": (lambda one: one.update(index=one["index"] - 1), "proof|tree"),
    "a shorter proof": (lambda one: one["proof"].pop(), "proof|tree"),
    "old key alone": (lambda one: one.update(statement=one["statement"].rsplit("\u2014", 1)[0]), "sign"),
    "another blind": (lambda one: one["opening"].update(blind="A" * 43 + "="), "commitment|opening"),
    "no entry": (lambda one: one.update(entry="AAAA"), "its entry"),
    "no proof": (lambda one: one.update(proof=7), "its proof"),
    "no opening": (lambda one: one.update(opening=[]), "its opening"),
    "no index": (lambda one: one.update(index=True), "its index"),
    "one member more": (lambda one: one.update(more=1), "has not the members"),
    "no document": (lambda one: one.update(document="{}"), "its document"),
}


async def test_what_does_not_follow_is_refused(log: ClockedLog, roots: RootsLog) -> None:
    await change_roots_key(log, roots, "test", "operator")
    history = await history_of(roots)
    for name, (alter, says) in ALTERED.items():
        altered = json.loads(history)
        alter(altered["changes"][0])
        with pytest.raises(AccessLogError) as refused:
            follow(parse_history(json.dumps(altered, ensure_ascii=False)), [KEY.key])
        assert re.search(says, str(refused.value)), (name, str(refused.value))


def test_a_history_has_bounds() -> None:
    for raw in ("", "[]", '{"v":1,"changes":7}', " " * (MAX_HISTORY + 1), '{"v":1,"changes":[7]}'):
        with pytest.raises(FormatError):
            parse_history(raw)
    with pytest.raises(FormatError, match="at most 256"):
        parse_history(json.dumps({"v": 1, "changes": [0] * 257}))
