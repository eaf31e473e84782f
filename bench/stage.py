"""What the benchmarks stand on: a fresh embedded PostgreSQL, a vault with persons, server processes."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from vault.server.assembly import Vault, open_vault, set_up
from vault.server.database import migrate
from vault.server.embedded import APPLICATION, OWNER, EmbeddedDatabase
from vault.server.portal.fictitious import fictitious_identity
from vault.server.settings import Settings

_WAIT = 30.0


@dataclass
class Stage:
    """A fresh, migrated vault."""

    settings: Settings
    database: EmbeddedDatabase

    @property
    def url(self) -> str:
        """The application role's database."""
        return self.database.url(APPLICATION)


@contextmanager
def stage(changes: Mapping[str, Any] | None = None) -> Iterator[Stage]:
    """Sets the stage, with these settings beside its own, and strikes it at the end."""
    with tempfile.TemporaryDirectory(prefix="creditvault-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        passphrase = home / "passphrase"
        passphrase.write_text("a passphrase for benchmarks only")
        passphrase.chmod(0o600)
        database = EmbeddedDatabase(home / "postgresql")
        settings = Settings(
            home=home,
            database_url=database.url(APPLICATION),
            issuer=f"http://127.0.0.1:{free_port()}",
            passphrase_file=passphrase,
            body_queries_per_minute=10_000_000,
            officer_queries_per_minute=10_000_000,
            demo=True,
            log_level="warning",
            **(changes or {}),
        )
        migrate(database.url(OWNER))
        asyncio.run(set_up(settings, database.url(APPLICATION)))
        yield Stage(settings, database)
        database.stop()


@asynccontextmanager
async def opened(at: Stage) -> AsyncIterator[Vault]:
    """The vault in this process, beside whatever server runs."""
    async with open_vault(at.settings, at.url) as vault:
        yield vault


@contextmanager
def serving(command: list[str], environment: dict[str, str], ready: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, from its first good answer at `ready` until the block ends."""
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        _wait_for(ready, process)
        yield process
    finally:
        process.terminate()
        process.wait(_WAIT)


def server_environment(at: Stage) -> dict[str, str]:
    """The settings as a server process reads them."""
    settings = at.settings
    return {
        "CREDITVAULT_HOME": str(settings.home),
        "CREDITVAULT_DATABASE_URL": at.url,
        "CREDITVAULT_ISSUER": settings.issuer,
        "CREDITVAULT_PORT": settings.issuer.rpartition(":")[2],
        "CREDITVAULT_PASSPHRASE_FILE": str(settings.passphrase_file),
        "CREDITVAULT_BODY_QUERIES_PER_MINUTE": str(settings.body_queries_per_minute),
        "CREDITVAULT_OFFICER_QUERIES_PER_MINUTE": str(settings.officer_queries_per_minute),
        "CREDITVAULT_DEMO": "true",
        "CREDITVAULT_LOG_LEVEL": "warning",
    }


def creditvault(*arguments: str) -> list[str]:
    """The command line of this environment."""
    return [str(Path(sys.executable).with_name("creditvault")), *arguments]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def submission(n: int) -> bytes:
    """One well-formed credit contract of the invented person `n`, as a line of NDJSON."""
    number, name = fictitious_identity(n)
    return json.dumps(
        {
            "subject": {"scheme": "demo-id", "number": number, "name": name},
            "category": "FIN",
            "furnisher_reference": f"BENCH-{n}",
            "basis": "CRI-29",
            "document": {"number": f"CONTRACT-{n}", "date": "2026-01-15", "sha256": "0" * 64},
            "fields": {
                "type": "vehicle",
                "amount_class": "10k-50k",
                "contract_start": "2026-01-15",
                "contract_end": "2029-01-15",
                "status": "performing",
            },
        }
    ).encode()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _WAIT
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}")
        try:
            with urlopen(url, timeout=1):  # noqa: S310 -- a URL of our own
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server did not start")
