"""Everything the story stands on, from an empty folder: database, keys, log, cast, and the running server."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from access_log.checkpoint import VerifierKey
from consent import bodies
from demo.cast import Cast, gather
from demo.client import BodyClient
from demo.home import passphrase_file
from demo.narrator import Narrator
from demo.registrars import keep_keys, reinstate
from demo.server import HOST, ServerProcess, choose_port, command
from demo.tamperer import Tamperer
from vault.server.assembly import Vault, open_vault, set_up
from vault.server.embedded import APPLICATION, OWNER, EmbeddedDatabase
from vault.server.endings import bring_up
from vault.server.settings import Settings

LOG_ORIGIN = "demo.creditvault.example/log"
_PREFIX = "CREDITVAULT_"
_REQUEST_SECONDS = 60.0


@dataclass(frozen=True)
class Stage:
    """What the chapters use.

    Attributes:
        base: the server's address.
        http: speaks to it, for bodies and inspectors.
        cast: everybody, registered.
        vault: the operator's own hands, for registers alone; whoever asks comes over `http`.
        owner_url: the database as its owner, whom a vault does not trust.
        log_key: the log's verifier key.
        home: the demo's folder.
        server: the process that serves.
    """

    base: str
    http: httpx.AsyncClient
    cast: Cast
    vault: Vault
    owner_url: str
    log_key: str
    home: Path
    server: ServerProcess

    @property
    def log_url(self) -> str:
        """Where the log is published."""
        return f"{self.base}/log"

    @property
    def log_keys(self) -> tuple[VerifierKey, ...]:
        """The log's key, to verify receipts with."""
        return (VerifierKey.parse(self.log_key),)

    def client(self, code: str) -> BodyClient:
        """The client of one body of the cast."""
        player = self.cast[code]
        return BodyClient(self.http, self.base, player.body_id, player.key)

    async def log_size(self) -> int:
        """How many entries the published checkpoint covers."""
        answer = (await self.http.get("/log/checkpoint")).raise_for_status()
        return int(answer.text.splitlines()[1])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of `creditvault` on this vault."""
        return subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def database(home: Path) -> Iterator[EmbeddedDatabase]:
    """The embedded PostgreSQL, running for as long as the block lasts."""
    embedded = EmbeddedDatabase((home / "postgresql").resolve())
    try:
        yield embedded
    finally:
        embedded.stop()


@asynccontextmanager
async def stage(
    home: Path, embedded: EmbeddedDatabase, port: int | None, narrator: Narrator
) -> AsyncIterator[Stage]:
    """Sets everything up, or finds it as the last demo left it, however that one ended.

    Raises:
        StoryError: the port is taken, or the server does not start.
        VaultError, CryptoError, AccessLogError: what is missing or wrong, and what to do.
    """
    server = ServerProcess(home)
    if server.end_left_over():
        narrator.say("An earlier demo was cut off: its server was still running, and has been ended.")
    owner_url, settings = embedded.url(OWNER), _settings(home, embedded.url(APPLICATION), choose_port(port))
    _, revision = bring_up(settings, owner_url)
    if Tamperer(owner_url, home).restore():
        narrator.say("An earlier demo was cut off while it tampered: what it had changed is restored.")
    await set_up(settings, embedded.url(APPLICATION))
    try:
        server.start()
        narrator.say(f"PostgreSQL runs, its schema is at revision {revision}; the server is starting.")
        async with (
            open_vault(settings, embedded.url(APPLICATION)) as vault,
            httpx.AsyncClient(base_url=settings.issuer, timeout=_REQUEST_SECONDS, trust_env=False) as http,
        ):
            cast = await gather(vault.log, home / "cast.json")
            keep_keys(cast, home)
            await _reinstate(vault, cast)
            await server.wait_until_ready(settings.issuer)
            yield Stage(
                base=settings.issuer,
                http=http,
                cast=cast,
                vault=vault,
                owner_url=owner_url,
                log_key=vault.log.key.verifier_key(),
                home=home,
                server=server,
            )
    finally:
        server.stop()


async def _reinstate(vault: Vault, cast: Cast) -> None:
    """Bodies that an earlier demo suspended, and was cut off before it reinstated them."""
    async with vault.engine.connect() as connection:
        suspended = [one for one in await bodies.list_bodies(connection) if one.status == "suspended"]
    players = {player.body_id for player in cast.players.values()}
    for body in suspended:
        if body.body_id in players:
            await reinstate(vault, cast, body.body_id, "the demo was cut off")


def _settings(home: Path, database_url: str, port: int) -> Settings:
    """The demo's settings, in the environment of this process and of all it starts.

    Those of a real vault that the same shell may name must not reach the demo, so none of them stays.
    """
    for name in [name for name in os.environ if name.startswith(_PREFIX)]:
        del os.environ[name]
    values = {
        "HOME": str(home),
        "DATABASE_URL": database_url,
        "HOST": HOST,
        "PORT": str(port),
        "ISSUER": f"http://{HOST}:{port}",
        "LOG_ORIGIN": LOG_ORIGIN,
        "PASSPHRASE_FILE": str(passphrase_file(home)),
        "DEMO": "true",
    }
    os.environ.update({_PREFIX + name: value for name, value in values.items()})
    return Settings()
