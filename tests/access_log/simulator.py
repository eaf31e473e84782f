"""A published log in memory that can be tampered with the way a database owner could."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from access_log.checkpoint import Checkpoint, SigningKey, VerifierKey
from access_log.entry import Entry, EntryType, first_chain, next_chain
from access_log.merkle import Frontier, leaf_hash
from access_log.tiles import Tile, bundles_of, encode_bundle, hashes_in, tile_root, tiles_of

ORIGIN = "vault.example/log/2026"
SIGNER = SigningKey.from_seed(ORIGIN, bytes(range(32)))
KEYS = (VerifierKey.parse(SIGNER.verifier_key()),)
START = 1_783_000_000_000


def make_entries(count: int, origin: str = ORIGIN) -> list[bytes]:
    """A chain of entries with a few types and times that sometimes stand still."""
    chain = first_chain(origin)
    types = (EntryType.QUERY_PERMITTED, EntryType.RECORD, EntryType.HEARTBEAT)
    entries = []
    for index in range(count):
        seed = index.to_bytes(8, "big")
        entry = Entry(
            types[index % len(types)],
            START + index // 3,
            chain,
            sha256(b"label" + seed).digest(),
            sha256(b"commitment" + seed).digest(),
        ).encode()
        entries.append(entry)
        chain = next_chain(chain, leaf_hash(entry))
    return entries


def sign(entries: Iterable[bytes]) -> str:
    """The note over these entries."""
    frontier = Frontier.empty().extend([leaf_hash(entry) for entry in entries])
    return SIGNER.sign(Checkpoint(ORIGIN, frontier.size, frontier.root()))


@dataclass
class Memory:
    """A source whose files are a dictionary."""

    files: dict[str, bytes] = field(default_factory=dict)

    def read(self, path: str, limit: int) -> bytes | None:
        found = self.files.get(path)
        return None if found is None else found[: limit + 1]

    def write_to(self, root: Path) -> Path:
        for path, data in self.files.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return root


def publish(entries: list[bytes]) -> Memory:
    """Publish a log as static files."""
    return serve(dict(enumerate(entries)), stored_tiles(entries), sign(entries), len(entries))


def stored_tiles(entries: list[bytes]) -> dict[Tile, bytes]:
    """Every full tile, as the writer stored it when the entries were whole."""
    leaves = [leaf_hash(entry) for entry in entries]
    tiles: dict[Tile, bytes] = {}
    row = leaves
    level = 0
    while len(row) >= 256:
        full = [row[at : at + 256] for at in range(0, len(row) - 255, 256)]
        for n, hashes in enumerate(full):
            tiles[Tile(level, n)] = b"".join(hashes)
        row = [tile_root(b"".join(hashes)) for hashes in full]
        level += 1
    return tiles


def serve(rows: dict[int, bytes], tiles: dict[Tile, bytes], note: str, size: int) -> Memory:
    """What the server answers from its rows: bundles end at a gap, partial tiles are made on demand."""
    files = {"checkpoint": note.encode()}
    for bundle in bundles_of(size):
        found: list[bytes] = []
        for index in range(bundle.n * 256, bundle.n * 256 + bundle.width):
            if index not in rows:
                break
            found.append(rows[index])
        files[bundle.path] = encode_bundle(found)
    for tile in tiles_of(size):
        hashes = _served_tile(tile, rows, tiles)
        if hashes is not None:
            files[tile.path] = hashes
    return Memory(files)


def _served_tile(tile: Tile, rows: dict[int, bytes], tiles: dict[Tile, bytes]) -> bytes | None:
    if tile in tiles:
        return tiles[tile]
    below = range(tile.n * 256, tile.n * 256 + tile.width)
    if tile.level == 0:
        if any(index not in rows for index in below):
            return None
        return b"".join(leaf_hash(rows[index]) for index in below)
    assert tile.level is not None
    return b"".join(tile_root(tiles[Tile(tile.level - 1, n)]) for n in below)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_inclusion(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 §2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*naive_inclusion(index, leaves[:split]), naive_root(leaves[split:])]
    return [*naive_inclusion(index - split, leaves[split:]), naive_root(leaves[:split])]


def naive_consistency(size: int, leaves: list[bytes], *, known: bool = True) -> list[bytes]:
    """RFC 6962 §2.1.2, word for word."""
    if size == len(leaves):
        return [] if known else [naive_root(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if size <= split:
        return [*naive_consistency(size, leaves[:split], known=known), naive_root(leaves[split:])]
    return [*naive_consistency(size - split, leaves[split:], known=False), naive_root(leaves[:split])]


def leaves_in(memory: Memory, path: str) -> list[bytes]:
    """The hashes of a published tile."""
    return hashes_in(memory.files[path])
