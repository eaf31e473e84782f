"""`creditvault identity`: ordered by one registrar, agreed to by another, and what is shown of it."""

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest

from tests.vault.registers.asking import registrar
from tests.vault.served import Served
from tests.vault.server.commands import CommandLine


async def test_identities_are_merged_shown_and_split(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await served.enrol(1, 2)
    one, other = [str((await served.world.person(n)).subject_id) for n in (1, 2)]
    command = CommandLine(served.world.settings, monkeypatch, capsys)
    document = tmp_path / "notice.pdf"
    document.write_bytes(b"%PDF the number was replaced")
    signing = []
    for number in (0, 1):
        key = tmp_path / f"{number}.jwk"
        key.write_text(json.dumps(registrar(served, number).private))
        key.chmod(0o600)
        signing.append(("--registrar", str(registrar(served, number).registrar_id), "--key", str(key)))

    async def run(*arguments: str) -> str:
        ran = await asyncio.to_thread(command, *arguments)
        assert ran.code == 0, ran.err
        return ran.out

    async def done(*arguments: str) -> None:
        because = ("--reason", "number-replaced", "--document", str(document))
        waits = json.loads(await run("identity", *arguments, *because, *signing[0], "--json"))
        assert waits["state"] == "waiting"
        await run("registrar", "agree", waits["order"], *signing[1])

    await done("merge", one, other)
    found = json.loads(await run("identity", "show", one, "--json"))
    assert found["joined"] == [other]
    (line,) = found["history"]
    assert (line["event"], line["others"], line["reason"]) == ("merged", [other], "number-replaced")
    assert line["document_sha256"] == sha256(document.read_bytes()).hexdigest()
    assert (await served.payload(line["entry_index"]))["object"]["with"] == [other]
    await done("split", other)
    shown = await run("identity", "show", other)
    assert "merged with no other identity" in shown
    assert "split" in shown
    refused = await asyncio.to_thread(command, "identity", "show", str(uuid4()))
    assert (refused.code, "knows nobody" in refused.err) == (2, True)
