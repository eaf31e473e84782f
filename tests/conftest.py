"""Real PostgreSQL for every test that touches data: one server a worker, one fresh database a test."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from hypothesis import HealthCheck, settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.lock import OutsideLock
from access_log.log import Log
from access_log.signing_keys import CosigningKey, SigningKey
from access_log.verifier_keys import ML_DSA_44
from tests import prepared
from tests.openbao import OpenBao
from tests.softhsm import SoftToken, made_token
from vault.server.assembly import Vault, open_vault
from vault.server.database import application_engine, migrate
from vault.server.embedded import APPLICATION, DATABASE, OWNER, EmbeddedDatabase
from vault.server.settings import Settings

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile(
    "ci",
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("nightly", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_configure() -> None:
    """Whoever ends a run early, as `timeout` does, leaves no server behind: it is torn down as on Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _plain_tracebacks() -> None:
    """What a test logs is not drawn with every local variable, which takes seconds each time."""
    structlog.reset_defaults()
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest begins first, so that at the end no worker waits long for another."""
    items.sort(key=_most_seconds, reverse=True)


def _most_seconds(item: pytest.Item) -> float:
    limit = item.get_closest_marker("timeout")
    return 0 if limit is None else float(limit.args[0])


def pytest_collection_finish() -> None:
    """What is loaded now stays, as in a served worker: every full collection would walk all of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_unconfigure(config: pytest.Config) -> None:
    """After an interrupt no thread is waited for: what a test left waiting in one may never come."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and getattr(reporter, "_keyboardinterrupt_memo", None) is not None:
        sys.stdout.flush()
        os._exit(pytest.ExitCode.INTERRUPTED)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test fails the run: what cannot run there was not shown."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CREDITVAULT_FAIL_ON_SKIP") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """A key server of this test worker. Whoever seals or ends it starts one of their own."""
    with OpenBao(tmp_path_factory.mktemp("openbao")) as server:
        yield server


@pytest.fixture(scope="session")
def soft_token(tmp_path_factory: pytest.TempPathFactory) -> SoftToken:
    """A token of this test worker."""
    return made_token(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedDatabase]:
    """A PostgreSQL server of this test worker, with the migrated database as a template.

    It keeps what it commits through the death of any process of ours, and does not wait for a disk: no test
    ends this server, let alone its machine (the one that kills a server, of `faults`, starts one of its own).
    """
    with tempfile.TemporaryDirectory(
        prefix="creditvault-test-", dir=_in_memory(), ignore_cleanup_errors=True
    ) as folder:
        server = EmbeddedDatabase(Path(folder) / "postgresql")
        admin = prepared.administrator(server.url("postgres"))
        with admin.connect() as connection:
            for setting in ("fsync", "full_page_writes"):
                connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
        migrate(server.url(OWNER))
        yield server
        admin.dispose()
        server.stop()


def _in_memory() -> Path | None:
    """A folder whose files are memory, where the machine has one with room."""
    folder = Path("/dev/shm")  # noqa: S108 -- a private folder is made in it
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > 4 << 30 else None


@contextmanager
def fresh_database(postgres: EmbeddedDatabase) -> Iterator[str]:
    """Copies the template; yields the new database's name."""
    name = f"test_{uuid4().hex}"
    admin = prepared.administrator(postgres.url("postgres"))
    with admin.connect() as connection:
        connection.execute(text(prepared.copying(DATABASE, name)))
    try:
        yield name
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database_name(postgres: EmbeddedDatabase) -> Iterator[str]:
    with fresh_database(postgres) as name:
        yield name


@pytest.fixture
async def database(postgres: EmbeddedDatabase, database_name: str) -> AsyncIterator[AsyncEngine]:
    """An engine of the application role on a fresh, migrated database."""
    engine = application_engine(postgres.url(APPLICATION, database_name), Settings())
    yield engine
    await engine.dispose()


@pytest.fixture
def owner_url(postgres: EmbeddedDatabase, database_name: str) -> str:
    """The same database as its owner: what a tamperer inside would use."""
    return postgres.url(OWNER, database_name)


class PlainSealer:
    """Keeps payloads readable, so that a test of the log needs no vault."""

    async def at(self, time_ms: int) -> tuple[int, Callable[[int, Sequence[bytes]], list[bytes]]]:
        return 203601, self.seal

    def seal(self, first: int, plaintexts: Sequence[bytes]) -> list[bytes]:
        return list(plaintexts)

    async def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes:
        return sealed


ORIGIN = "creditvault.test/log"


class SeededSigners:
    """The keys of every epoch, from seeds anyone can guess."""

    def __init__(self, origin: str, *, ml_dsa: bool = False) -> None:
        self._origin = origin
        self._ml_dsa = ml_dsa

    async def of(self, epoch: int) -> list[SigningKey | CosigningKey]:
        seed = bytes([epoch - 1]) * 32
        keys: list[SigningKey | CosigningKey] = [SigningKey.from_seed(self._origin, seed)]
        if self._ml_dsa:
            keys.append(CosigningKey.from_seed(self._origin, ML_DSA_44, seed))
        return keys

    async def make(self, epoch: int) -> None:
        """Nothing needs to be kept."""


@pytest.fixture
async def log(database: AsyncEngine, tmp_path: Path) -> Log:
    """A real log on the fresh database, started, with its outside lock in a temporary folder."""
    opened = Log(
        database,
        origin=ORIGIN,
        master=bytes(range(32)),
        sealer=PlainSealer(),
        signers=SeededSigners(ORIGIN),
        outside=OutsideLock(tmp_path / "outside.lock"),
    )
    await opened.create()
    await opened.start()
    return opened


PASSPHRASE = "correct horse battery staple"


def settings_in(folder: Path, postgres: EmbeddedDatabase, name: str) -> Settings:
    """Settings of a demo-mode vault on one database, with keyring and outside lock of its own."""
    passphrase_file = folder / "passphrase"
    passphrase_file.write_text(PASSPHRASE)
    passphrase_file.chmod(0o600)
    return Settings(
        home=folder,
        database_url=postgres.url(APPLICATION, name),
        owner_database_url=postgres.url(OWNER, name),
        log_origin=ORIGIN,
        passphrase_file=passphrase_file,
        batch_window_ms=1,
        # As good as none: tests ask as fast as they can. What rates do is tested by itself.
        body_queries_per_minute=10_000_000,
        officer_queries_per_minute=10_000_000,
        demo=True,
    )


@pytest.fixture
def vault_settings(postgres: EmbeddedDatabase, database_name: str, tmp_path: Path) -> Settings:
    """Settings of a demo-mode vault on the fresh database, with keyring and outside lock of its own."""
    return settings_in(tmp_path, postgres, database_name)


@pytest.fixture
async def vault(vault_settings: Settings) -> AsyncIterator[Vault]:
    """A whole vault, set up and open, without its web server."""
    assert vault_settings.database_url is not None
    await prepared.copy(vault_settings)
    async with open_vault(vault_settings, vault_settings.database_url) as opened:
        yield opened
