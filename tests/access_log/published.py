"""A log published into a folder, as any server of files would show it."""

from pathlib import Path

from access_log import stored
from access_log.checkpoint import Checkpoint
from access_log.log import Log
from access_log.merkle import leaf_hash
from access_log.tiles import WIDTH, bundles_of, encode_bundle, tiles_of
from tests.access_log.logs import root_of, stored_entries


async def publish(log: Log, folder: Path, size: int | None = None) -> Path:
    """Writes checkpoint, bundles and tiles of the log, or of its first entries, by the formats alone."""
    entries = (await stored_entries(log))[:size]
    for bundle in bundles_of(len(entries)):
        first = bundle.n * WIDTH
        _write(folder / bundle.path, encode_bundle(entries[first : first + bundle.width]))
    async with log.engine.connect() as connection:
        for tile in tiles_of(len(entries)):
            assert tile.level is not None
            hashes = await stored.hashes(connection, log.number, tile.level, tile.n, tile.width)
            _write(folder / tile.path, b"".join(hashes))
    note = log.key.sign(Checkpoint(log.origin, len(entries), root_of(entries)))
    _write(folder / "checkpoint", note.encode())
    assert [leaf_hash(raw) for raw in entries]
    return folder


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
