"""kill -9 in the midst of a group commit: every receipt a caller held is of an entry that stands."""

import asyncio
import base64
import signal
import sys
from pathlib import Path

import pytest

from access_log.entry import Entry
from access_log.fsck import examine_log
from access_log.log import Log
from access_log.receipt import verify_receipt
from access_log.verify import audit_entries
from tests.access_log.logs import append, check_chain, keys_of, root_of
from tests.crash import appender
from tests.crash.killer import WRITING
from tests.flows.serving import ROOT
from vault.server.embedded import APPLICATION, EmbeddedDatabase

_WITHIN = 120.0


@pytest.mark.slow
@pytest.mark.parametrize("step", WRITING)
async def test_killed_in_a_group_commit(
    log: Log, postgres: EmbeddedDatabase, database_name: str, tmp_path: Path, step: str
) -> None:
    await append(log, 200)  # so that tiles are filled on the way
    armed = tmp_path / "armed"
    armed.touch()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(appender.__file__)),
        step,
        "1" if step.endswith("tiles") else "4",
        str(armed),
        postgres.url(APPLICATION, database_name),
        str(log.outside.path),
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), _WITHIN)
    assert process.returncode == -signal.SIGKILL, f"{step} was never reached"
    await log.start()  # recovery is a start
    await append(log)
    entries = await check_chain(log)
    held = log.outside.read()
    assert (held.size, held.root) == (len(entries), root_of(entries))
    audit_entries(log.origin, entries, root=held.root)
    assert (await examine_log(log, altered=(), retention_years=10)).sound
    kept = [line.split() for line in said.decode().splitlines()]
    for index, encoded in kept:
        verified = verify_receipt(base64.b64decode(encoded).decode(), keys_of(log))
        assert verified.index == int(index)
        assert verified.entry == Entry.decode(entries[verified.index])
        assert verified.checkpoint.root == root_of(entries[: verified.checkpoint.size])
    assert len({index for index, _ in kept}) == len(kept)
