"""`audit-roots` and `auditor-key`, as an inspectorate runs them: on a folder, and against a real server."""

import asyncio
import json
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.api import log_router
from access_log.checkpoint import VerifierKey, open_signed_note
from access_log.cli import main
from access_log.roots.api import roots_router
from access_log.roots.log import RootsLog
from access_log.verifier_keys import ED25519_COSIGNATURE, ML_DSA_44
from access_log.witness.keys import read_key_file
from tests.access_log.roots.clocked import KEY, SIGNERS, clocked_log
from tests.access_log.roots.published import LOG_KEYS, ROOTS_KEYS, SIGNER, Labels, Operator, entries_of
from tests.loopback import bound, serving

ENTRIES = entries_of([("2026-07-10", 300), ("2026-08-02", 130)])


def published(folder: Path, operator: Operator) -> list[str]:
    log, roots = operator.publish()
    log.write_to(folder / "log")
    roots.write_to(folder / "log" / "roots")
    return [
        "audit-roots",
        str(folder / "log"),
        "--log-key",
        str(LOG_KEYS[0]),
        "--roots-key",
        str(ROOTS_KEYS[0]),
    ]


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_a_folder_is_audited_and_cosigned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, state, cosigned = (str(tmp_path / name) for name in ("auditor.key", "auditor.state", "cosigned"))
    assert main(["auditor-key", key, "--name", "inspectorate.test/auditor", "--json"]) == 0
    keys = [VerifierKey.parse(str(each)) for each in told(capsys)["keys"]]  # type: ignore[attr-defined]
    assert [each.type for each in keys] == [ED25519_COSIGNATURE, ML_DSA_44]
    assert main(["auditor-key", key, "--name", "inspectorate.test/auditor"]) == 2
    assert [each.key for each in read_key_file(Path(key))] == keys
    capsys.readouterr()

    command = published(tmp_path, Operator(ENTRIES).say_all())
    options = ["--auditor-key", key, "--state", state, "--cosigned", cosigned, "--json"]
    assert main([*command, *options]) == 0
    found = told(capsys)
    assert (found["months"], found["covered"], found["log_size"], found["begun_at"]) == (1, 400, 430, 0)
    checkpoint, signatures = open_signed_note(Path(cosigned).read_bytes(), [*ROOTS_KEYS, *keys])
    assert {each.key for each in signatures} == {*ROOTS_KEYS, *keys}
    assert checkpoint.origin == SIGNER.name
    assert Path(state).stat().st_mode & 0o077 == 0

    assert main([*command, *options]) == 0
    assert told(capsys)["begun_at"] == 300
    assert main(command) == 0
    words = capsys.readouterr().out
    assert words.startswith("Good: all 9 roots of vault.example/log/2026/roots")


def test_a_root_that_hides_a_label_is_not_cosigned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def omit(_number: int, labels: Labels) -> None:
        labels.pop(ENTRIES[123][42:74], None)

    key, cosigned = tmp_path / "auditor.key", tmp_path / "cosigned"
    main(["auditor-key", str(key), "--name", "inspectorate.test/auditor"])
    capsys.readouterr()
    command = published(tmp_path, Operator(ENTRIES, tamper=omit).say_all())
    more = ["--auditor-key", str(key), "--cosigned", str(cosigned), "--state", str(tmp_path / "state")]
    assert main([*command, *more]) == 1
    assert "entry 123: root 2 (interim, 202607, size 150) leaves out the label" in capsys.readouterr().out
    assert not cosigned.exists()
    assert not (tmp_path / "state").exists()


def test_wrong_usage_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = published(tmp_path, Operator(ENTRIES).say_all())
    broken = tmp_path / "broken"
    broken.write_text("{")
    for more, words in (
        (["--deliver"], "--auditor-key"),
        (["--auditor-key", "none", "--cosigned", "x"], "cannot be read"),
        (["--auditor-key", "none"], "where the cosignature goes"),
        (["--auditor-key", "none", "--deliver"], "by its URL"),
        (["--state", str(broken)], "move it away"),
    ):
        assert main([*command, *more]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    for more in (["--name", "a name"], ["--name", "x", "--kind", "both"]):
        assert main(["auditor-key", str(tmp_path), *more]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "bare").mkdir()
    assert main(["audit-roots", str(tmp_path / "bare"), *command[2:]]) == 2
    assert "no 'roots' below" in capsys.readouterr().err


async def test_a_served_log_is_audited_and_the_cosignature_delivered(
    database: AsyncEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = await clocked_log(database, tmp_path)
    key = str(tmp_path / "auditor.key")
    main(["auditor-key", key, "--name", "inspectorate.test/auditor", "--json"])
    keys = [VerifierKey.parse(str(each)) for each in told(capsys)["keys"]]  # type: ignore[attr-defined]
    roots = RootsLog(log, SIGNERS, keys)
    await roots.create()
    await log.at("2026-07-05", 40)
    await log.at("2026-08-05", 300)
    await roots.catch_up()
    app = FastAPI()
    app.include_router(log_router(log))
    app.include_router(roots_router(roots))
    port, address = bound()
    async with serving(app, port):
        command = [
            "audit-roots", f"{address}/log", "--log-key", log.key.verifier_key(),
            "--roots-key", KEY.verifier_key(), "--auditor-key", key,
            "--state", str(tmp_path / "state"), "--deliver", "--json",
        ]  # fmt: skip
        assert await asyncio.to_thread(main, command) == 0
        assert told(capsys)["delivered"] is True
        async with log.engine.connect() as connection:
            note = await roots.checkpoint(connection)
        _, signatures = open_signed_note(note, [KEY.key, *keys])
        assert {each.key for each in signatures} == {KEY.key, *keys}
        roots.auditors = ()
        assert await asyncio.to_thread(main, command) == 2
        assert "CREDITVAULT_AUDITOR_KEYS" in capsys.readouterr().out
