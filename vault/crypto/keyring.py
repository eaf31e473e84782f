"""The file provider: named keys in one file under a passphrase (FORMAT 8 and 9).

Who may do what, in which order:
1. Only `_rewrite` changes the file, and only under the lock beside it. It reads the file again first, so
   two processes that make keys at the same time keep both.
2. A change counts, in memory as for the caller, once the file and its folder are synced.
3. Every call compares the file's header with the one in memory. Each rewrite draws a new nonce, so equal
   headers mean equal files (times and inode numbers may repeat within a clock tick). A key another process
   made is found, and one it destroyed is forgotten, at the next call.
"""

import asyncio
import contextlib
import hmac
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto import handover
from vault.crypto.derivation import KEY_SIZE
from vault.crypto.errors import KeyringError, ProviderError, ProviderUnavailableError, UnsealError
from vault.crypto.fields import named
from vault.crypto.journal import UNNAMED, Journal, Purpose
from vault.crypto.keyfile import DEFAULT_COST, HEADER_SIZE, Argon2Cost, Keyfile, StoredKey
from vault.crypto.provider import NAME, NAME_RULE, DestroyPolicy, KeyKind, Mac, made_elsewhere
from vault.crypto.replacing import locked, replace
from vault.crypto.suites import ENABLED, HEADER, NONCE_SIZE, VERSION

_NONCE_AT: Final = len(HEADER) + 4
_BODY_AT: Final = _NONCE_AT + NONCE_SIZE
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What one content of the file holds, ready for use. Replaced whole, never changed."""

    header: bytes
    ciphers: Mapping[str, Mapping[int, AESGCM]] = field(repr=False)
    secrets: Mapping[str, Mapping[int, bytes]] = field(repr=False)

    @classmethod
    def of(cls, content: bytes, keys: Mapping[str, StoredKey]) -> Self:
        return cls(
            content[:HEADER_SIZE],
            {
                name: {version: AESGCM(secret) for version, secret in key.versions.items()}
                for name, key in keys.items()
                if key.kind is KeyKind.WRAP
            },
            {name: key.versions for name, key in keys.items() if key.kind is KeyKind.MAC},
        )


class FileKeyring:
    """A `KeyProvider` in one file of this host. `wrap`, `unwrap` and `mac` compute inline, in microseconds.

    Keys that were destroyed still stand in older copies of the file: keep its backups no longer than those
    of the database.
    """

    def __init__(self, path: Path, keyfile: Keyfile, content: bytes) -> None:
        self._path = path
        self._keyfile = keyfile
        self._loaded = _Loaded.of(content, keyfile.decode(content))
        self.journal = Journal(path)

    @classmethod
    def create_file(cls, path: Path, passphrase: str, cost: Argon2Cost = DEFAULT_COST) -> Self:
        """Make an empty keyring, and the folder for it if there is none. Blocks for the Argon2id time.

        Raises:
            KeyringError: There is a file already, the passphrase is empty, or the folder is not writable.
            ProviderUnavailableError: The file could not be written now.
        """
        path = Path(os.path.realpath(path))
        keyfile = Keyfile.new(path, passphrase, cost)
        content = keyfile.encode({})
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(path):
                if path.exists():
                    raise KeyringError(
                        f"there is a keyring {path} already: open it, or name another file for a new vault"
                    )
                replace(path, content)
        except OSError as error:
            raise _unusable(path, "written", error) from error
        return cls(path, keyfile, content)

    @classmethod
    def open(cls, path: Path, passphrase: str) -> Self:
        """Open a keyring. Blocks for the Argon2id time, about 0.1 s.

        Raises:
            KeyringError: The file is missing, not private, not readable, damaged, no keyring, or has another
                passphrase.
            ProviderUnavailableError: It cannot be read now.
        """
        path = Path(os.path.realpath(path))
        content = _read(path)
        opened = cls(path, Keyfile.of(path, passphrase, content), content)
        opened._end_handover()
        return opened

    @property
    def maker(self) -> int:
        """Of `file`."""
        return VERSION

    @property
    def makers(self) -> frozenset[int]:
        """This one."""
        return frozenset({VERSION})

    @property
    def destroy_policy(self) -> DestroyPolicy:
        """A destroyed key is gone from the file at once."""
        return "now"

    @property
    def lag(self) -> float:
        """None: every call looks at the file (3)."""
        return 0

    async def create(self, name: str, kind: KeyKind = KeyKind.WRAP) -> int:
        """Make a new version of a key. See `KeyProvider.create`."""
        if not NAME.fullmatch(name):
            raise KeyringError(NAME_RULE)
        return await asyncio.to_thread(self._rewrite, partial(_add, self._path, name, kind))

    async def wrap(self, name: str, secret: bytes, aad: bytes) -> bytes:
        """Wrap with the newest version. See `KeyProvider.wrap`."""
        return (await self.wrap_many(name, [(secret, aad)]))[0]

    async def wrap_many(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Wrap many (secret, aad). See `KeyProvider.wrap_many`."""
        versions = self._versions(self._current().ciphers, name)
        newest = max(versions)
        cipher, header = versions[newest], HEADER + newest.to_bytes(4, "big")
        prefix = header + named(name)
        nonces = os.urandom(NONCE_SIZE * len(items))
        wrapped = []
        for at, (secret, aad) in enumerate(items):
            nonce = nonces[NONCE_SIZE * at : NONCE_SIZE * (at + 1)]
            wrapped.append(header + nonce + cipher.encrypt(nonce, secret, prefix + aad))
        return wrapped

    async def unwrap(self, name: str, wrapped: bytes, aad: bytes, purpose: Purpose = UNNAMED) -> bytes:
        """Open what `wrap` made. See `KeyProvider.unwrap`."""
        return (await self.unwrap_many(name, [(wrapped, aad)], [purpose]))[0]

    async def used(self, name: str, uses: Sequence[tuple[bytes, Purpose]]) -> None:
        """Keep that keys were used again. See `KeyProvider.used`."""
        self.journal.write(name, uses, cached=True)

    async def unwrap_many(
        self, name: str, items: Sequence[tuple[bytes, bytes]], purposes: Sequence[Purpose] = ()
    ) -> list[bytes]:
        """Open many (wrapped, aad). See `KeyProvider.unwrap_many`."""
        opened = self._open(name, items)
        stated = purposes or [UNNAMED] * len(items)
        self.journal.write(name, [(aad, purpose) for (_, aad), purpose in zip(items, stated, strict=True)])
        # From here the journal says what these keys are for.
        return opened

    def version_of(self, wrapped: bytes) -> int:
        """The version a wrap states. See `KeyProvider.version_of`."""
        return _stated_version(wrapped)

    async def rewrap_many(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Wrap many anew. See `KeyProvider.rewrap_many`."""
        opened = await self.open_to_rewrap(name, items)
        return await self.wrap_many(
            name, [(secret, aad) for secret, (_, aad) in zip(opened, items, strict=True)]
        )

    async def open_to_rewrap(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Open many to be wrapped anew. See `KeyProvider.open_to_rewrap`."""
        return self._open(name, items)

    async def mac(self, name: str, message: bytes, version: int | None = None) -> Mac:
        """HMAC-SHA-256. See `KeyProvider.mac`."""
        return (await self.mac_many(name, [message], version))[0]

    async def mac_many(self, name: str, messages: Sequence[bytes], version: int | None = None) -> list[Mac]:
        """HMAC-SHA-256 of many messages. See `KeyProvider.mac_many`."""
        versions = self._versions(self._current().secrets, name)
        used = max(versions) if version is None else version
        secret = self._version(versions, name, used)
        return [Mac(used, hmac.digest(secret, message, "sha256")) for message in messages]

    def authentication_key(self, name: str, version: int) -> bytes:
        """The 32 bytes of a key for MACs: for what an older release kept here, and for nothing new.

        Raises:
            KeyringError: There is no such key or version.
        """
        return self._version(self._versions(self._current().secrets, name), name, version)

    async def destroy(self, name: str, version: int | None = None) -> None:
        """Destroy one version of a key, or all. See `KeyProvider.destroy`."""
        await asyncio.to_thread(self._rewrite, partial(_remove, name, version))

    async def versions(self, name: str) -> tuple[int, ...]:
        """The versions that are left, oldest first. See `KeyProvider.versions`."""
        loaded = self._current()
        return tuple(sorted(loaded.ciphers.get(name) or loaded.secrets.get(name) or ()))

    def change_passphrase(self, passphrase: str) -> None:
        """Write the file anew under another passphrase, of the same cost. Blocks for the Argon2id time.

        Whoever has it open takes the new file key over at the next look, until `end_handover` (FORMAT 9.6).

        Raises:
            KeyringError: The passphrase is empty or the one before; or the last change is being taken over.
            ProviderUnavailableError: The file could not be written now; the one before stands.
        """
        try:
            with locked(self._path):
                content = _read(self._path)
                keys = self._decode(content)
                if handover.lasts(self._path):
                    raise KeyringError(
                        "running processes are taking the last change of the passphrase over: wait a minute"
                    )
                if Keyfile.of(self._path, passphrase, content).opens(content):
                    raise KeyringError("the new passphrase is the one that the keyring has: choose another")
                keyfile, handed = self._keyfile.succeeded(passphrase)
                handover.write(self._path, handed)
                content = keyfile.encode(keys)
                replace(self._path, content)
                # From here the new passphrase alone opens the file.
                self._keyfile, self._loaded = keyfile, _Loaded.of(content, keys)
        except OSError as error:
            raise _unusable(self._path, "written", error) from error

    def end_handover(self) -> None:
        """Let nobody take the new file key over any more.

        Raises:
            ProviderUnavailableError: That could not be done now; it ends by itself (FORMAT 9.6).
        """
        try:
            handover.remove(self._path)
        except OSError as error:
            raise _unusable(self._path, "written", error) from error

    async def health(self) -> None:
        """Return if the file is there and is the one in memory. See `KeyProvider.health`."""
        self._current()
        self._end_handover()

    async def close(self) -> None:
        """Nothing is held that must be let go of. See `KeyProvider.close`."""

    def _current(self) -> _Loaded:
        """What the file holds now (3)."""
        if _read_header(self._path) != self._loaded.header:
            content = _read(self._path)
            self._loaded = _Loaded.of(content, self._decode(content))
        return self._loaded

    def _decode(self, content: bytes) -> dict[str, StoredKey]:
        """The keys in the file, whose passphrase may have been changed since it was read last."""
        try:
            self._keyfile = self._keyfile.followed(content, handover.read(self._path))
        except OSError as error:
            raise _unusable(self._path, "read", error) from error
        return self._keyfile.decode(content)

    def _end_handover(self) -> None:
        """Removes one that a crash left, if it is past its life and this user may."""
        with contextlib.suppress(OSError):
            handover.lasts(self._path)

    def _open(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """What (wrapped, aad) hold. Nothing of it may leave this object before the journal says what for."""
        versions = self._versions(self._current().ciphers, name)
        encoded = named(name)
        opened = []
        for at, (wrapped, aad) in enumerate(items):
            cipher = self._version(versions, name, _stated_version(wrapped, at), at)
            try:
                opened.append(
                    cipher.decrypt(
                        wrapped[_NONCE_AT:_BODY_AT],
                        wrapped[_BODY_AT:],
                        wrapped[:_NONCE_AT] + encoded + aad,
                    )
                )
            except InvalidTag:
                raise UnsealError("a wrapped key was altered, moved, or wrapped by another key", at) from None
        return opened

    def _rewrite(self, change: Callable[[dict[str, StoredKey]], T]) -> T:
        """Change the file under its lock (1, 2). Runs in a thread: another process may hold the lock."""
        try:
            with locked(self._path):
                keys = self._decode(_read(self._path))
                result = change(keys)
                content = self._keyfile.encode(keys)
                replace(self._path, content)
                self._loaded = _Loaded.of(content, keys)
        except OSError as error:
            raise _unusable(self._path, "written", error) from error
        return result

    def _versions(self, keys: Mapping[str, Mapping[int, T]], name: str) -> Mapping[int, T]:
        """The versions of a key of the kind wanted, of which there is at least one."""
        versions = keys.get(name)
        if not versions:
            raise KeyringError(
                f"the keyring {self._path} holds no key {name} for this use: it was destroyed, or the "
                "keyring is another vault's or too old a copy"
            )
        return versions

    def _version(self, versions: Mapping[int, T], name: str, version: int, position: int | None = None) -> T:
        if version not in versions:
            raise KeyringError(
                f"the keyring {self._path} holds no version {version} of key {name}: it was destroyed, or "
                "the keyring is another vault's or too old a copy",
                position,
            )
        return versions[version]


def _stated_version(wrapped: bytes, position: int | None = None) -> int:
    if len(wrapped) < _BODY_AT or wrapped[1] not in ENABLED:
        raise UnsealError("a wrapped key is too short, or of a suite that is not enabled", position)
    if wrapped[0] != VERSION:
        raise UnsealError(made_elsewhere(wrapped[0]), position)
    return int.from_bytes(wrapped[len(HEADER) : _NONCE_AT], "big")


def _add(path: Path, name: str, kind: KeyKind, keys: dict[str, StoredKey]) -> int:
    key = keys.setdefault(name, StoredKey(kind))
    if key.kind is not kind:
        raise KeyringError(
            f"key {name} of the keyring {path} is for {key.kind}, not for {kind}: use another name"
        )
    version = key.following
    key.versions[version] = os.urandom(KEY_SIZE)
    key.following += 1
    return version


def _remove(name: str, version: int | None, keys: dict[str, StoredKey]) -> None:
    if name not in keys:
        return
    if version is None:
        keys[name].versions.clear()
    else:
        keys[name].versions.pop(version, None)


def _read_header(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return os.read(descriptor, HEADER_SIZE)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unusable(path, "read", error) from error


def _read(path: Path) -> bytes:
    """The whole file, if it is private to its owner."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise KeyringError(
                    f"the keyring {path} can be read by others than its owner: chmod 600 {path}"
                )
            return file.read()
    except OSError as error:
        raise _unusable(path, "read", error) from error


def _unusable(path: Path, done: str, error: OSError) -> ProviderError:
    if isinstance(error, FileNotFoundError):
        return KeyringError(
            f"the keyring {path} is missing: check the path, or restore the file from its newest backup"
        )
    if isinstance(error, PermissionError):
        return KeyringError(
            f"the keyring {path} may not be {done} by this user: run as the owner of the file and its folder"
        )
    reason = os.strerror(error.errno or 0)
    return ProviderUnavailableError(f"the keyring {path} cannot be {done} now: {reason}")
