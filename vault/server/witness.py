"""A witness in a folder of its own: key, memory, server. It needs no vault and no settings."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvicorn

from access_log.errors import WitnessStateError
from access_log.signing_keys import CosigningKey
from access_log.witness.api import witness_app
from access_log.witness.keys import make_key_file, read_key_file
from access_log.witness.store import Store
from vault.server.listening import Server, listen
from vault.server.logging import configure

_GRACE_SECONDS = 10
_MOST_CONNECTIONS = 256
_events = structlog.get_logger()


def make_witness(folder: Path, name: str, kinds: Sequence[int]) -> list[CosigningKey]:
    """Makes a new witness: folder, key and empty memory; returns its keys.

    Raises:
        FormatError: the name may not stand in a signature line.
        WitnessStateError: there is a witness already, or the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise WitnessStateError(f"the folder {folder} cannot be made ({error.strerror})") from None
    keys = make_key_file(folder / "key", name, kinds)
    Store.create(folder / "witness.db").close()
    return keys


def keys_in(folder: Path) -> list[CosigningKey]:
    """The keys of the witness in a folder.

    Raises:
        WitnessStateError: there are none, or others can read them.
    """
    return read_key_file(folder / "key")


def memory_in(folder: Path) -> Store:
    """What the witness in a folder remembers.

    Raises:
        WitnessStateError: it is missing or damaged.
    """
    return Store(folder / "witness.db")


def serve_witness(folder: Path, host: str, port: int) -> None:
    """Serves the witness in a folder until SIGTERM or SIGINT.

    Raises:
        WitnessStateError: its key or its memory cannot be used.
        OSError: the address cannot be listened on.
    """
    keys, store = keys_in(folder), memory_in(folder)
    configure("info")
    config = uvicorn.Config(
        witness_app(store, keys),
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    try:
        with listen(host, port) as listening:
            _events.info("witness_started", pid=os.getpid(), host=host, port=port, witness=keys[0].name)
            asyncio.run(Server(config).serve(sockets=[listening]))
    finally:
        store.close()
    _events.info("witness_stopped", pid=os.getpid())
