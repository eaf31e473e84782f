"""A witness's own key file: who holds it can cosign in the witness's name.

One line a key, in the form Go's `sumdb/note` gives signers: `PRIVATE+KEY+name+hex(id)+base64(type ‖ seed)`.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from access_log.checkpoint_text import require_name
from access_log.encoding import from_base64, to_base64
from access_log.errors import FormatError, WitnessStateError
from access_log.signing_keys import CosigningKey

_PREFIX: Final = "PRIVATE+KEY+"
_SEED_SIZE: Final = 32
_MAX_FILE: Final = 64 * 1024
_OTHERS: Final = 0o077
_PARTS: Final = 3


def make_key_file(path: Path, name: str, kinds: Sequence[int]) -> list[CosigningKey]:
    """Makes new keys of these types and the file that holds them, readable by its owner alone.

    Raises:
        FormatError: the name may not stand in a signature line.
        WitnessStateError: the file is there already, or cannot be made.
    """
    require_name(name)
    seeds = [(kind, secrets.token_bytes(_SEED_SIZE)) for kind in kinds]
    keys = [CosigningKey.from_seed(name, kind, seed) for kind, seed in seeds]
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WitnessStateError(f"{path} is there already: a key is never written over") from None
    except OSError as error:
        raise WitnessStateError(f"{path} cannot be made ({error.strerror})") from None
    with os.fdopen(descriptor, "w") as file:
        for key, (kind, seed) in zip(keys, seeds, strict=True):
            file.write(f"{_PREFIX}{name}+{key.key.id.hex()}+{to_base64(bytes((kind,)) + seed)}\n")
        file.flush()
        os.fsync(file.fileno())
    return keys


def read_key_file(path: Path) -> list[CosigningKey]:
    """Reads the keys of a witness.

    Raises:
        WitnessStateError: the file is missing, malformed, or others than its owner can read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_MAX_FILE).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise WitnessStateError(
            f"the key {path} cannot be read ({reason}): name the right folder, or restore it"
        ) from None
    if mode & _OTHERS:
        raise WitnessStateError(f"the key {path} can be read by others than its owner: chmod 600")
    try:
        keys = [_key(line) for line in text.splitlines() if line]
    except FormatError as error:
        raise WitnessStateError(f"the key {path} is damaged ({error}): restore it") from None
    if not keys:
        raise WitnessStateError(f"the key {path} is empty: restore it")
    return keys


def _key(line: str) -> CosigningKey:
    parts = line.removeprefix(_PREFIX).split("+", 2)
    if not line.startswith(_PREFIX) or len(parts) != _PARTS:
        raise FormatError("a line does not begin with PRIVATE+KEY+")
    name, key_id, encoded = parts
    material = from_base64(encoded, "a key")
    if len(material) != 1 + _SEED_SIZE:
        raise FormatError("a key has not 32 bytes")
    key = CosigningKey.from_seed(name, material[0], material[1:])
    if key.key.id.hex() != key_id:
        raise FormatError("a key's id does not fit its name and bytes")
    return key
