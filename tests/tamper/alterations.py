"""Ways to alter a published log, each drawn at random; none may leave it as it was."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from access_log.checkpoint import Checkpoint
from access_log.entry import next_chain
from access_log.merkle import Frontier, leaf_hash
from access_log.tiles import encode_bundle, parse_tile_path
from tests.access_log.simulator import (
    ORIGIN,
    SIGNER,
    Memory,
    make_entries,
    publish,
    serve,
    sign,
    stored_tiles,
)

SIZES = (257, 300, 512, 700)
ENTRIES = make_entries(max(SIZES))
OTHERS = make_entries(max(SIZES), origin="another.example/log")
GOOD = {size: publish(ENTRIES[:size]).files for size in SIZES}
TILES = {size: stored_tiles(ENTRIES[:size]) for size in SIZES}
NOTES = {size: sign(ENTRIES[:size]) for size in SIZES}

FIELDS = {
    "version": (0, 1),
    "type": (1, 2),
    "time": (2, 10),
    "previous": (10, 42),
    "label": (42, 74),
    "commitment": (74, 106),
}


@dataclass(frozen=True, slots=True)
class Altered:
    """A log after one alteration.

    Attributes:
        log: What is published now.
        index: The entry that must be named; None where any, or none, may be.
        known: The signed checkpoint somebody kept, where only that contradicts the log.
    """

    log: Memory
    index: int | None = None
    known: str | None = None


Alteration = Callable[[Random, int], Altered]


def rows(size: int) -> dict[int, bytes]:
    return dict(enumerate(ENTRIES[:size]))


def served(size: int, altered: dict[int, bytes]) -> Memory:
    """What a server publishes after its rows, but neither its tiles nor its checkpoint, were altered."""
    return serve(altered, TILES[size], NOTES[size], size)


def with_file(size: int, path: str, data: bytes | None) -> Memory:
    files = dict(GOOD[size])
    del files[path]
    if data is not None:
        files[path] = data
    return Memory(files)


def flipped(random: Random, data: bytes, start: int, end: int) -> bytes:
    raw = bytearray(data)
    raw[random.randrange(start, end)] ^= 1 << random.randrange(8)
    return bytes(raw)


def field_of(name: str) -> Alteration:
    """Another bit in one field of one row."""

    def alter(random: Random, size: int) -> Altered:
        index = random.randrange(size)
        changed = flipped(random, ENTRIES[index], *FIELDS[name])
        return Altered(served(size, {**rows(size), index: changed}), index)

    return alter


def row_replaced(random: Random, size: int) -> Altered:
    index = random.randrange(size)
    return Altered(served(size, {**rows(size), index: OTHERS[index]}), index)


def row_deleted(random: Random, size: int) -> Altered:
    index = random.randrange(size)
    kept = rows(size)
    del kept[index]
    return Altered(served(size, kept), index)


def rows_deleted(random: Random, size: int) -> Altered:
    gone = sorted(random.sample(range(size), random.randrange(2, 50)))
    return Altered(served(size, {at: raw for at, raw in rows(size).items() if at not in gone}), gone[0])


def cut(random: Random, size: int) -> Altered:
    kept = random.randrange(size)
    return Altered(served(size, rows(kept)), kept)


def moved_up(random: Random, size: int) -> Altered:
    """An entry was taken out and the others moved up; where the tile can tell it names the first."""
    index = random.randrange(size - 1)
    kept = ENTRIES[:index] + ENTRIES[index + 1 : size]
    return Altered(
        served(size, dict(enumerate(kept))),
        index if index % 256 < 254 and index < size // 256 * 256 else None,
    )


def swapped(random: Random, size: int) -> Altered:
    one, other = sorted(random.sample(range(size), 2))
    changed = {**rows(size), one: ENTRIES[other], other: ENTRIES[one]}
    return Altered(served(size, changed), one if one < size // 256 * 256 and other != one + 1 else None)


def shuffled(random: Random, size: int) -> Altered:
    order = ENTRIES[:size]
    while order == ENTRIES[:size]:
        start = random.randrange(size - 2)
        part = order[start : start + random.randrange(2, 40)]
        random.shuffle(part)
        order = [*order[:start], *part, *order[start + len(part) :]]
    return Altered(served(size, dict(enumerate(order))))


def doubled(random: Random, size: int) -> Altered:
    index = random.randrange(size - 1)
    kept = [*ENTRIES[: index + 1], *ENTRIES[index : size - 1]]
    return Altered(served(size, dict(enumerate(kept))))


def rechained(random: Random, size: int) -> list[bytes]:
    """A history altered at one entry, its chain made anew from there on, as it could be signed."""
    index = random.randrange(size)
    entries = ENTRIES[:size]
    entries[index] = flipped(random, entries[index], 42, 106)
    for at in range(index + 1, size):
        chain = next_chain(entries[at - 1][10:42], leaf_hash(entries[at - 1]))
        entries[at] = entries[at][:10] + chain + entries[at][42:]
    return entries


def rewritten_unsigned(random: Random, size: int) -> Altered:
    """Rows, chain and tiles are made anew; only the signature cannot be."""
    forged = publish(rechained(random, size))
    forged.files["checkpoint"] = GOOD[size]["checkpoint"]
    return Altered(forged)


def rewritten_and_signed(random: Random, size: int) -> Altered:
    """The key is stolen: all is made anew and signed, but somebody kept an older checkpoint."""
    entries = rechained(random, size)
    first = next(at for at in range(size) if entries[at] != ENTRIES[at])
    return Altered(publish(entries), known=sign(ENTRIES[: random.randrange(first, size) + 1]))


def forked(random: Random, size: int) -> Altered:
    """Two trees of one size under one key."""
    return Altered(publish(rechained(random, size)), known=NOTES[size])


def rolled_back(random: Random, size: int) -> Altered:
    kept = random.randrange(size)
    return Altered(publish(ENTRIES[:kept]), index=kept, known=NOTES[size])


def signed_by_another(random: Random, size: int) -> Altered:
    name, _, rest = NOTES[size].rpartition(" ")
    raw = rest.encode()
    at = random.randrange(len(raw) - 2)
    other = random.choice([each for each in b"ABCDabcd0123+/" if each != raw[at]])
    return Altered(
        with_file(size, "checkpoint", f"{name} ".encode() + raw[:at] + bytes([other]) + raw[at + 1 :])
    )


def checkpoint_changed(random: Random, size: int) -> Altered:
    return Altered(
        with_file(size, "checkpoint", flipped(random, GOOD[size]["checkpoint"], 0, len(NOTES[size])))
    )


def wrong_root_signed(random: Random, size: int) -> Altered:
    note = SIGNER.sign(Checkpoint(ORIGIN, size, random.randbytes(32)))
    return Altered(with_file(size, "checkpoint", note.encode()))


def wrong_size_signed(random: Random, size: int) -> Altered:
    other = random.choice([each for each in range(1, 2 * size) if each != size])
    root = Frontier.empty().extend([leaf_hash(each) for each in ENTRIES[:size]]).root()
    return Altered(with_file(size, "checkpoint", SIGNER.sign(Checkpoint(ORIGIN, other, root)).encode()))


def tile_of(random: Random, size: int, level: int | None) -> str:
    paths = [path for path in GOOD[size] if path != "checkpoint" and parse_tile_path(path).level == level]
    return random.choice(paths)


def tile_flipped(level: int) -> Alteration:
    def alter(random: Random, size: int) -> Altered:
        path = tile_of(random, size, level)
        data = GOOD[size][path]
        at = random.randrange(len(data))
        covered = (parse_tile_path(path).n * 256 + at // 32) * 256**level
        changed = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        return Altered(with_file(size, path, changed), covered)

    return alter


def file_flipped(random: Random, size: int) -> Altered:
    path = random.choice([path for path in GOOD[size] if path != "checkpoint"])
    return Altered(with_file(size, path, flipped(random, GOOD[size][path], 0, len(GOOD[size][path]))))


def length_flipped(random: Random, size: int) -> Altered:
    """The length before an entry of a bundle."""
    path = tile_of(random, size, None)
    at = random.randrange(len(GOOD[size][path]) // 108)
    return Altered(with_file(size, path, flipped(random, GOOD[size][path], at * 108, at * 108 + 2)))


def file_cut(random: Random, size: int) -> Altered:
    path = random.choice([path for path in GOOD[size] if path != "checkpoint"])
    return Altered(with_file(size, path, GOOD[size][path][: random.randrange(len(GOOD[size][path]))]))


def file_longer(random: Random, size: int) -> Altered:
    path = random.choice([path for path in GOOD[size] if path != "checkpoint"])
    return Altered(with_file(size, path, GOOD[size][path] + random.randbytes(random.randrange(1, 300))))


def file_gone(random: Random, size: int) -> Altered:
    path = random.choice([path for path in GOOD[size] if path != "checkpoint"])
    return Altered(with_file(size, path, None))


def file_of_another_log(random: Random, size: int) -> Altered:
    """A whole bundle with its tile, as another log has them."""
    n = random.randrange((size + 255) // 256)
    part = OTHERS[n * 256 : min(size, n * 256 + 256)]
    suffix = "" if len(part) == 256 else f".p/{len(part)}"
    files = dict(GOOD[size])
    files[f"tile/entries/{n:03}{suffix}"] = encode_bundle(part)
    files[f"tile/0/{n:03}{suffix}"] = b"".join(map(leaf_hash, part))
    return Altered(Memory(files))


def files_exchanged(random: Random, size: int) -> Altered:
    one, other = random.sample([path for path in GOOD[size] if path != "checkpoint"], 2)
    files = dict(GOOD[size])
    files[one], files[other] = files[other], files[one]
    return Altered(Memory(files))


ALTERATIONS: dict[str, tuple[Alteration, int]] = {
    **{f"a bit of a row's {name}": (field_of(name), 400) for name in FIELDS},
    "a row replaced": (row_replaced, 400),
    "a row deleted": (row_deleted, 400),
    "rows deleted": (rows_deleted, 300),
    "the end cut off": (cut, 400),
    "an entry taken out, the others moved up": (moved_up, 300),
    "two rows exchanged": (swapped, 400),
    "rows shuffled": (shuffled, 300),
    "an entry twice": (doubled, 300),
    "rows, chain and tiles made anew": (rewritten_unsigned, 300),
    "all made anew and signed, against a kept checkpoint": (rewritten_and_signed, 500),
    "a fork, against a kept checkpoint": (forked, 300),
    "a rollback, against a kept checkpoint": (rolled_back, 300),
    "a signature altered": (signed_by_another, 300),
    "a bit of the checkpoint": (checkpoint_changed, 300),
    "another root signed": (wrong_root_signed, 200),
    "another size signed": (wrong_size_signed, 200),
    "a bit of a tile of level 0": (tile_flipped(0), 400),
    "a bit of a tile of level 1": (tile_flipped(1), 400),
    "a bit of any file": (file_flipped, 500),
    "a length in a bundle": (length_flipped, 200),
    "a file cut": (file_cut, 300),
    "a file made longer": (file_longer, 300),
    "a file gone": (file_gone, 100),
    "a bundle and its tile of another log": (file_of_another_log, 200),
    "two files exchanged": (files_exchanged, 200),
}
"""Each alteration with the number of times the campaign makes it."""
