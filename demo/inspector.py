"""Chapter 6: an inspector downloads the log, and verifies it with Python and `cryptography` alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from access_log.tiles import bundles_of, tiles_of
from demo.asking import Logged
from demo.consenting import PURPOSE
from demo.narrator import Narrator, StoryError
from demo.people import CITIZEN
from demo.stage import Stage

GOOD, TAMPERED = 0, 1
_LOOPBACK = "127.0.0.1"


class Inspector:
    """Somebody with the log's key, who has no access to the vault.

    Args:
        folder: where they keep what they download.
        log_key: the log's verifier key, taken once from a place they trust.
    """

    def __init__(self, folder: Path, log_key: str) -> None:
        self.log = folder / "log"
        self._receipt = folder / "answer.receipt"
        self._log_key = log_key

    async def download(self, http: httpx.AsyncClient, narrator: Narrator) -> int:
        """Downloads the whole published log (C2SP tlog-tiles); returns its size.

        Raises:
            StoryError: a file is missing.
        """
        shutil.rmtree(self.log, ignore_errors=True)
        checkpoint = await _fetch(http, "checkpoint")
        size = int(checkpoint.splitlines()[1])
        files = [*bundles_of(size), *tiles_of(size)]
        with narrator.progress("Downloading the log", len(files)) as advance:
            for tile in files:
                _keep(self.log / tile.path, await _fetch(http, tile.path))
                advance(1)
        _keep(self.log / "checkpoint", checkpoint)
        return size

    def verify(self, place: str) -> tuple[int, dict[str, Any]]:
        """Verifies a log, in a directory or at an address; returns exit code and finding."""
        return self._run("verify", place)

    def check_receipt(self, receipt: str) -> tuple[int, dict[str, Any]]:
        """Checks one receipt; returns exit code and finding."""
        _keep(self._receipt, receipt.encode())
        return self._run("check-receipt", str(self._receipt))

    def _run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        # Nothing of the vault is in its environment: the verifier needs no database.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CREDITVAULT_")}
        run = subprocess.run(
            [sys.executable, "-m", "access_log", *arguments, "--log-key", self._log_key, "--json"],
            env={**kept, "NO_PROXY": _LOOPBACK, "no_proxy": _LOOPBACK},
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            found: dict[str, Any] = json.loads(run.stdout)
        except ValueError:
            raise StoryError(
                f"the verifier answered nothing (exit code {run.returncode}): {run.stderr}"
            ) from None
        return run.returncode, found


async def inspect(stage: Stage, narrator: Narrator, inspector: Inspector, logged: Logged) -> None:
    """Tells the chapter."""
    narrator.chapter(6, "An inspector downloads the log and verifies it offline")
    size = await inspector.download(stage.http, narrator)
    narrator.say(f"Downloaded {size:,} entries and the tree over them to {inspector.log}.")
    code, found = inspector.verify(str(inspector.log))
    narrator.check(
        code == GOOD and found["size"] == size,
        f"python -m access_log verify: all {size:,} entries, chain, tree and checkpoint are good.",
    )
    code, found = inspector.check_receipt(logged.answer["receipt"])
    narrator.check(
        code == GOOD and found["index"] == logged.index,
        f"python -m access_log check-receipt: the bank's receipt of entry {logged.index:,} is good.",
    )
    published = b"".join(path.read_bytes() for path in inspector.log.rglob("*") if path.is_file())
    bank = stage.cast["bank"]
    names = (CITIZEN.number, CITIZEN.name, bank.role.name, str(bank.body_id), PURPOSE)
    narrator.check(
        not any(name.encode() in published for name in names),
        "What is published names nobody: not the person, not the bank, not the purpose.",
    )


async def _fetch(http: httpx.AsyncClient, path: str) -> bytes:
    answer = await http.get(f"/log/{path}")
    if not answer.is_success:
        raise StoryError(f"/log/{path} answered {answer.status_code}")
    return answer.content


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
