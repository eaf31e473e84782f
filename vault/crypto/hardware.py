"""The pkcs11 provider: named keys in a token of a hardware module, which computes with them itself.

How the protocol is kept with what PKCS#11 has:
1. A key is a secret key object, AES for wraps, generic for MACs: sensitive, never extractable. Its label is
   the prefix and the name, its id the version. Objects that may leave the token are no keys of ours.
2. Nothing in a token is unique, and it has no transactions. So the processes of a host make and destroy keys
   one after the other, by a lock file. Against other hosts a version is made with an id that says *pending*,
   nobody uses it, and only when no other object claims the same version does it get its final id.
3. Before keys are destroyed, a data object beside them says which version comes next.
4. A data object marks a token that has keys of ours. Once it was seen, a token without it is away, and no
   key is taken for destroyed.
5. A module locks a PIN after a few wrong ones. One that was refused is tried again once its file changed.

Calls block, so each runs in a thread. The library is initialized without locking of its own: one lock for the
process stands around every use of it.
"""

import asyncio
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass

from vault.crypto.errors import ProviderError, ProviderRefusedError, ProviderUnavailableError, UnsealError
from vault.crypto.held import Sealed
from vault.crypto.journal import Purpose
from vault.crypto.provider import DestroyPolicy, KeyKind, Mac
from vault.crypto.replacing import locked
from vault.crypto.suites import NONCE_SIZE, TAG_SIZE

_LOCK: Final = threading.Lock()
_TYPES: Final = {KeyKind.WRAP: KeyType.AES, KeyKind.MAC: KeyType.GENERIC_SECRET}
_USES: Final = {
    KeyKind.WRAP: MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
    KeyKind.MAC: MechanismFlag.SIGN,
}
_STAYS: Final = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
_FINAL: Final = b"creditvault"
_PENDING: Final = b"pending"
_VERSION: Final = struct.Struct(">I")
_APPLICATION: Final = "creditvault"
_ATTEMPTS: Final = 12
_TAG_BITS: Final = TAG_SIZE * 8
_PROBE: Final = bytes(32)
Key: TypeAlias = Any
"""A key object: what it can do depends on what it was made for."""
Library: TypeAlias = Any
T = TypeVar("T")


class _Found(NamedTuple):
    """A version of a key in the token; one that is not final is used by nobody."""

    version: int
    final: bool
    kind: KeyKind
    key: Key


class HardwareModule:
    """A `KeyHolder` in a token behind a PKCS#11 library.

    Args:
        library: The module's shared library.
        token: The label of the token.
        pin_file: The file that holds the PIN of its user.
        prefix: What the labels of this vault's keys begin with; no other vault may share it.
        beside: The file beside which the lock file stands.
    """

    def __init__(self, library: Path, token: str, pin_file: Path, prefix: str, beside: Path) -> None:
        self._library = library
        self._token = token
        self._pin_file = pin_file
        self._prefix = prefix
        self._beside = beside
        self._session: pkcs11.Session | None = None
        self._broken = False
        self._seen = False
        self._refused_pin: tuple[int, int] | None = None

    @property
    def maker(self) -> int:
        """Of `pkcs11`."""
        return 3

    @property
    def where(self) -> str:
        """The token by its label."""
        return f"the token {self._token}"

    @property
    def destroy_policy(self) -> DestroyPolicy:
        """A destroyed object is gone from the token; backups a module makes of itself are its operator's."""
        return "now"

    async def create(self, name: str, kind: KeyKind) -> int:
        """Make a new version of a key. See `KeyProvider.create`."""

        def create() -> int:
            with self._changing():
                return self._create(name, kind)

        return await self._do(create)

    async def seal(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[Sealed]:
        """Seal many under the newest version. See `KeyHolder.seal`."""

        def seal() -> list[Sealed]:
            keys = self._require(name, KeyKind.WRAP)
            newest = max(keys)
            return [Sealed(newest, _encrypt(keys[newest], *item)) for item in items]

        return await self._do(seal)

    async def open(
        self, name: str, items: Sequence[tuple[Sealed, bytes]], uses: Sequence[tuple[bytes, Purpose]]
    ) -> list[bytes]:
        """Open many. See `KeyHolder.open`."""
        del uses  # A token keeps no record of what it is asked for; the journal does.

        def open_all() -> list[bytes]:
            keys = self._require(name, KeyKind.WRAP)
            opened = []
            for at, (sealed, associated) in enumerate(items):
                if sealed.version not in keys:
                    raise self._no_version(name, sealed.version, at)
                opened.append(_decrypt(keys[sealed.version], sealed.body, associated, at))
            return opened

        return await self._do(open_all)

    async def mac(self, name: str, messages: Sequence[bytes], version: int | None) -> list[Mac]:
        """HMAC-SHA-256 of many messages. See `KeyProvider.mac_many`."""

        def mac() -> list[Mac]:
            keys = self._require(name, KeyKind.MAC)
            used = max(keys) if version is None else version
            if used not in keys:
                raise self._no_version(name, used)
            return [Mac(used, keys[used].sign(each, mechanism=Mechanism.SHA256_HMAC)) for each in messages]

        return await self._do(mac)

    async def destroy(self, name: str, version: int | None) -> None:
        """Destroy one version of a key, or all. See `KeyProvider.destroy`."""

        def destroy() -> None:
            with self._changing():
                self._destroy(name, version)

        await self._do(destroy)

    async def versions(self, name: str) -> tuple[int, ...]:
        """The versions that are left. See `KeyProvider.versions`."""

        def versions() -> tuple[int, ...]:
            return tuple(sorted(one.version for one in self._find(name) if one.final))

        return await self._do(versions)

    async def health(self) -> None:
        """Return if the token is there and we are logged in. See `KeyProvider.health`."""
        await self._do(self._there)

    async def close(self) -> None:
        """Close the session."""
        await asyncio.to_thread(self._close)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(self._alone, work)

    def _alone(self, work: Callable[[], T]) -> T:
        with _LOCK:
            try:
                with suppress(pkcs11.ObjectHandleInvalid, pkcs11.KeyHandleInvalid):
                    return work()
                return work()  # Another process destroyed something in the middle of it: once more.
            except pkcs11.PKCS11Error as error:
                # Whatever it was, the next call begins with a new session.
                self._broken = True
                raise ProviderUnavailableError(
                    f"{self.where} does not answer ({type(error).__name__}): see that the module is there, "
                    "and that CREDITVAULT_PKCS11_LIBRARY and CREDITVAULT_PKCS11_TOKEN name it"
                ) from None

    # Everything below runs under the lock.

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Keeps the other processes of this host from changing keys meanwhile (2)."""
        try:
            with locked(self._beside):
                yield
        except OSError as error:
            raise ProviderUnavailableError(
                f"the lock file beside {self._beside} cannot be used ({os.strerror(error.errno or 0)}): give "
                "this user the right to write there"
            ) from None

    def _opened(self) -> pkcs11.Session:
        """The session, opened anew after a failure."""
        if self._session is not None and not self._broken:
            return self._session
        pin, seen = self._pin()
        library = self._loaded()
        if self._broken:
            self._session = None
            with suppress(pkcs11.PKCS11Error):
                library.reinitialize()
        token = library.get_token(token_label=self._token)
        try:
            self._session = token.open(rw=True, user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            # Another holder of this process is: a login counts for all of it.
            self._session = token.open(rw=True)
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked) as error:
            self._refused_pin = seen
            raise self._wrong_pin(type(error).__name__) from None
        self._broken = False
        return self._session

    def _loaded(self) -> Library:
        try:
            return pkcs11.lib(str(self._library))
        except pkcs11.PKCS11Error as error:
            if type(error) is not pkcs11.PKCS11Error:
                raise  # It is there, and its module is not.
            raise ProviderUnavailableError(
                f"the library {self._library} cannot be loaded: name the module's own in "
                "CREDITVAULT_PKCS11_LIBRARY"
            ) from None

    def _pin(self) -> tuple[str, tuple[int, int]]:
        try:
            status = self._pin_file.stat()
            if status.st_mode & 0o077:
                raise ProviderUnavailableError(
                    f"the PIN file {self._pin_file} can be read by others than its owner: chmod 600 it"
                )
            seen = (status.st_mtime_ns, status.st_ino)
            if seen == self._refused_pin:
                raise self._wrong_pin("not tried again")
            return self._pin_file.read_text().strip(), seen
        except (OSError, UnicodeDecodeError):
            raise ProviderUnavailableError(
                f"the PIN file {self._pin_file} cannot be read: name it in CREDITVAULT_PKCS11_PIN_FILE"
            ) from None

    def _wrong_pin(self, why: str) -> ProviderUnavailableError:
        return ProviderUnavailableError(
            f"{self.where} refuses the PIN in {self._pin_file} ({why}): write the right one into it; the "
            "module locks it after a few wrong ones"
        )

    def _find(self, name: str) -> list[_Found]:
        """The versions of a key (1)."""
        found = []
        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: self._label(name), **_STAYS}
        objects: list[Key] = list(self._opened().get_objects(wanted))
        for key in objects:
            # Another process may destroy it while we look at it.
            with suppress(pkcs11.ObjectHandleInvalid):
                mark, number = bytes(key.id[: -_VERSION.size]), key.id[-_VERSION.size :]
                kind = KeyKind.WRAP if key.key_type is KeyType.AES else KeyKind.MAC
                if mark == _FINAL or mark.startswith(_PENDING):
                    found.append(_Found(_VERSION.unpack(number)[0], mark == _FINAL, kind, key))
        if not found:
            self._there()
        return found

    def _there(self) -> None:
        """Refuses to take an absent token for an empty one (4)."""
        if self._notes(self._prefix):
            self._seen = True
        elif self._seen:
            self._broken = True
            raise ProviderUnavailableError(f"{self.where} is away: no key of ours is in it; put it back")

    def _require(self, name: str, kind: KeyKind) -> dict[int, Key]:
        keys = {one.version: one.key for one in self._find(name) if one.final and one.kind is kind}
        if not keys:
            raise ProviderRefusedError(
                f"{self.where} holds no key {name} for this use (as {self._label(name)}): it was destroyed, "
                "or token or prefix are another vault's"
            )
        return keys

    def _create(self, name: str, kind: KeyKind) -> int:
        if not self._notes(self._prefix):
            self._note(self._prefix, 0)
        for _ in range(_ATTEMPTS):
            there = self._find(name)
            self._be(name, kind, there)
            version = max([self._following(name) - 1, *(one.version for one in there)]) + 1
            own = _PENDING + secrets.token_bytes(16) + _VERSION.pack(version)
            key: Key = self._opened().generate_key(
                _TYPES[kind],
                256,
                id=own,
                label=self._label(name),
                store=True,
                capabilities=_USES[kind],
                template={**_STAYS, Attribute.PRIVATE: True, Attribute.MODIFIABLE: True},
            )
            claims = [one for one in self._find(name) if one.version == version]
            if len(claims) == 1 and self._following(name) <= version:
                key[Attribute.ID] = _FINAL + _VERSION.pack(version)
                return version
            key.destroy()
            time.sleep(secrets.randbelow(50) / 1000)  # In a thread; whoever else makes one draws otherwise.
        raise ProviderUnavailableError(f"too many make a version of the key {name} at once: try again")

    def _be(self, name: str, kind: KeyKind, there: Sequence[_Found]) -> None:
        for one in there:
            if one.kind is not kind:
                raise ProviderRefusedError(
                    f"key {name} of {self.where} is for {one.kind}, not for {kind}: use another name"
                )

    def _destroy(self, name: str, version: int | None) -> None:
        there = self._find(name)
        going = [one.key for one in there if version in (None, one.version)]
        if not going:
            return
        self._keep_following(name, max(one.version for one in there) + 1)
        for key in going:
            # Somebody else may be about the same.
            with suppress(pkcs11.ObjectHandleInvalid, pkcs11.KeyHandleInvalid):
                key.destroy()

    def _following(self, name: str) -> int:
        """The version that comes next after a destruction; 1 where there was none (3)."""
        return max([1, *(number for number, _ in self._notes(self._label(name)))])

    def _keep_following(self, name: str, following: int) -> None:
        older = self._notes(self._label(name))
        if any(number >= following for number, _ in older):
            return
        self._note(self._label(name), following)
        for _, note in older:
            with suppress(pkcs11.ObjectHandleInvalid):
                note.destroy()

    def _note(self, label: str, number: int) -> None:
        self._opened().create_object(
            {
                Attribute.CLASS: ObjectClass.DATA,
                Attribute.TOKEN: True,
                Attribute.PRIVATE: True,
                Attribute.APPLICATION: _APPLICATION,
                Attribute.LABEL: label,
                Attribute.VALUE: _VERSION.pack(number),
            }
        )

    def _notes(self, label: str) -> list[tuple[int, Any]]:
        wanted = {Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: label}
        return [
            (_VERSION.unpack(note[Attribute.VALUE])[0], note)
            for note in list(self._opened().get_objects(wanted))
        ]

    def _no_version(self, name: str, version: int, at: int | None = None) -> ProviderError:
        return ProviderRefusedError(
            f"{self.where} holds no version {version} of key {name}: it was destroyed, or the token is "
            "another vault's or was restored from too old a copy",
            at,
        )

    def _label(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _close(self) -> None:
        with _LOCK:
            session, self._session = self._session, None
            if session is not None:
                with suppress(pkcs11.PKCS11Error):
                    session.close()


def _encrypt(key: Key, plaintext: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(NONCE_SIZE)
    return nonce + bytes(
        key.encrypt(
            plaintext,
            mechanism=Mechanism.AES_GCM,
            mechanism_param=pkcs11.GCMParams(nonce, associated, _TAG_BITS),
        )
    )


def _decrypt(key: Key, body: bytes, associated: bytes, at: int) -> bytes:
    try:
        return _decrypted(key, body, associated)
    except (
        pkcs11.EncryptedDataInvalid,
        pkcs11.EncryptedDataLenRange,
        pkcs11.FunctionFailed,
        pkcs11.GeneralError,
    ):
        # Modules do not agree on how they say that a tag is wrong. If the key works, it was that.
        if _decrypted(key, _encrypt(key, _PROBE, b""), b"") != _PROBE:
            raise
        raise UnsealError("a wrapped key was altered, moved, or wrapped by another key", at) from None


def _decrypted(key: Key, body: bytes, associated: bytes) -> bytes:
    return bytes(
        key.decrypt(
            body[NONCE_SIZE:],
            mechanism=Mechanism.AES_GCM,
            mechanism_param=pkcs11.GCMParams(body[:NONCE_SIZE], associated, _TAG_BITS),
        )
    )
