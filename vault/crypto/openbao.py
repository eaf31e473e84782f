"""The openbao provider: named keys in the transit engine of an OpenBao or HashiCorp Vault server.

How the protocol is kept with what transit has:
1. A key for wraps is of type `aes256-gcm96`, one for MACs of type `hmac`. A key that may be exported or
   backed up in plain, or of any other type, is refused.
2. A key is never deleted, because its name would begin again at version 1. To destroy it all, a new version
   is made that nothing uses, everything older is trimmed away, and `deletion_allowed` marks it as ended.
   `create` takes the mark off, and the unused version is the new one.
3. Transit trims from the oldest version on, so a newer one is not destroyed before an older one.
4. A batch is one request. Which keys it opens and what for goes along in a header, which the server's audit
   log can keep.
"""

import asyncio
import base64
import binascii
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NoReturn

from vault.crypto.errors import ProviderRefusedError, ProviderUnavailableError, UnsealError
from vault.crypto.held import Sealed
from vault.crypto.journal import Purpose, handle
from vault.crypto.openbao_server import Answer, OpenBaoServer, ServerFailedError
from vault.crypto.provider import DestroyPolicy, KeyKind, Mac

USES_HEADER: Final = "X-Creditvault-Uses"
_TYPES: Final = {"aes256-gcm96": KeyKind.WRAP, "hmac": KeyKind.MAC}
_NEW: Final[Mapping[KeyKind, Mapping[str, Any]]] = {
    KeyKind.WRAP: {"type": "aes256-gcm96"},
    KeyKind.MAC: {"type": "hmac", "key_size": 32},
}
_LEAVING: Final = ("exportable", "allow_plaintext_backup", "derived")
_TEXT: Final = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})", re.ASCII)
_MOST: Final = 100
"""Items of one request: OpenBao takes 1,000 strings in one, names of members among them, and a proxy may take
8 KiB of a header."""
_ATTEMPTS: Final = 8


@dataclass(frozen=True, slots=True)
class _Key:
    """A key as the server describes it."""

    kind: KeyKind
    oldest: int
    latest: int
    trimmed: int
    ended: bool

    @property
    def versions(self) -> tuple[int, ...]:
        return () if self.ended else tuple(range(self.oldest, self.latest + 1))


class Transit:
    """A `KeyHolder` in the transit engine.

    Args:
        server: The server.
        mount: Where its transit engine is.
        prefix: What the names of this vault's keys begin with; no other vault may share it.
    """

    def __init__(self, server: OpenBaoServer, mount: str, prefix: str) -> None:
        self._server = server
        self._mount = mount
        self._prefix = prefix
        self._known: dict[str, _Key] = {}

    @property
    def maker(self) -> int:
        """Of `openbao`."""
        return 2

    @property
    def where(self) -> str:
        """The server by its address."""
        return f"the key server {self._server.url}"

    @property
    def destroy_policy(self) -> DestroyPolicy:
        """What was trimmed is gone at once; snapshots of the server are copies as of a file (SECURITY.md)."""
        return "now"

    async def create(self, name: str, kind: KeyKind) -> int:
        """Make a new version of a key. See `KeyProvider.create`."""
        key = await self._read(name)
        if key is None:
            key = self._key(name, await self._done(name, "POST", self._at(name), _NEW[kind]))
            self._be(key, name, kind)
        elif self._be(key, name, kind).ended:
            await self._done(name, "POST", f"{self._at(name)}/config", {"deletion_allowed": False})
        else:
            key = self._key(name, await self._done(name, "POST", f"{self._at(name)}/rotate", {}))
        self._known.pop(name, None)
        return key.latest

    async def seal(self, name: str, items: Sequence[tuple[bytes, bytes]]) -> list[Sealed]:
        """Seal many under the newest version. See `KeyHolder.seal`."""
        # Asked each time: a key that another process ended would be found alive by its unused version.
        self._known.pop(name, None)
        await self._require(name, KeyKind.WRAP)
        sealed = []
        for part in _parts(items):
            content = [
                {"plaintext": _base64(plaintext), "associated_data": _base64(associated)}
                for plaintext, associated in part
            ]
            for result in await self._batch(name, f"encrypt/{self._named(name)}", {"batch_input": content}):
                version, body = self._text(result.get("ciphertext"))
                sealed.append(Sealed(version, body))
        return sealed

    async def open(
        self, name: str, items: Sequence[tuple[Sealed, bytes]], uses: Sequence[tuple[bytes, Purpose]]
    ) -> list[bytes]:
        """Open many. See `KeyHolder.open`."""
        await self._require(name, KeyKind.WRAP)
        opened: list[bytes] = []
        for part in _parts(items):
            content = [
                {
                    "ciphertext": f"vault:v{sealed.version}:{_base64(sealed.body)}",
                    "associated_data": _base64(associated),
                }
                for sealed, associated in part
            ]
            headers = _uses(uses[len(opened) : len(opened) + len(part)])
            path = f"decrypt/{self._named(name)}"
            versions = [sealed.version for sealed, _ in part]
            results = await self._batch(
                name, path, {"batch_input": content}, headers=headers, versions=versions, first=len(opened)
            )
            opened += [self._bytes(result.get("plaintext")) for result in results]
        return opened

    async def mac(self, name: str, messages: Sequence[bytes], version: int | None) -> list[Mac]:
        """HMAC-SHA-256 of many messages. See `KeyProvider.mac_many`."""
        key = await self._require(name, KeyKind.MAC)
        if version is not None and version > key.latest:
            self._known.pop(name, None)
            key = await self._require(name, KeyKind.MAC)
        if version is not None and version not in key.versions:
            raise self._no_version(name, version)
        macs = []
        for part in _parts(messages):
            content: dict[str, Any] = {"batch_input": [{"input": _base64(message)} for message in part]}
            if version is not None:
                content["key_version"] = version
            for result in await self._batch(name, f"hmac/{self._named(name)}/sha2-256", content):
                macs.append(Mac(*self._text(result.get("hmac"))))  # noqa: PERF401 -- reads as what it does
        if any(mac.version > key.latest for mac in macs):
            # A newer version than known: made by another process, or what is left of an ended key.
            self._known.pop(name, None)
            await self._require(name, KeyKind.MAC)
        return macs

    async def destroy(self, name: str, version: int | None) -> None:
        """Destroy one version of a key, or all. See `KeyProvider.destroy`."""
        self._known.pop(name, None)
        key = await self._read(name)
        if key is None:
            return
        if version is None or key.versions == (version,):
            if not key.ended:
                key = self._key(name, await self._done(name, "POST", f"{self._at(name)}/rotate", {}))
                await self._trim(name, key.latest, {"deletion_allowed": True})
        elif version in key.versions:
            if version != key.oldest:
                raise ProviderRefusedError(
                    f"{self.where} destroys versions from the oldest on: of the key {name} destroy version "
                    f"{key.oldest} before version {version}"
                )
            await self._trim(name, version + 1, {})
        if key.trimmed < key.oldest:
            # Somebody was killed between hiding versions and taking them away.
            await self._trim(name, key.oldest, {})

    async def versions(self, name: str) -> tuple[int, ...]:
        """The versions that are left. See `KeyProvider.versions`."""
        key = await self._read(name)
        return () if key is None else key.versions

    async def health(self) -> None:
        """Return if the server is unsealed and accepts our token. See `KeyProvider.health`."""
        await self._server.health()

    async def close(self) -> None:
        """Close its connections."""
        await self._server.close()

    async def _trim(self, name: str, first: int, also: Mapping[str, Any]) -> None:
        """Destroys every version before `first`."""
        bounds = {"min_decryption_version": first, "min_encryption_version": first, **also}
        await self._done(name, "POST", f"{self._at(name)}/config", bounds)
        await self._done(name, "POST", f"{self._at(name)}/trim", {"min_available_version": first})

    async def _read(self, name: str) -> _Key | None:
        answer = await self._server.ask("GET", f"{self._mount}/{self._at(name)}")
        if answer.status == HTTPStatus.NOT_FOUND:
            if answer.errors:
                # No such path: were it taken for a key that is gone, a wrong mount would look like its end.
                raise ProviderUnavailableError(
                    f"{self.where} has no transit engine at {self._mount}: see CREDITVAULT_OPENBAO_MOUNT"
                )
            return None
        return self._key(name, answer)

    async def _require(self, name: str, kind: KeyKind) -> _Key:
        """The key, as it was when it was last looked at."""
        key = self._known.get(name) or await self._read(name)
        if key is None or key.kind is not kind or not key.versions:
            raise ProviderRefusedError(
                f"{self.where} holds no key {name} for this use (as {self._named(name)}): it was destroyed, "
                "or server, mount or prefix are another vault's"
            )
        self._known[name] = key
        return key

    def _be(self, key: _Key, name: str, kind: KeyKind) -> _Key:
        if key.kind is not kind:
            raise ProviderRefusedError(
                f"key {name} of {self.where} is for {key.kind}, not for {kind}: use another name"
            )
        return key

    async def _done(self, name: str, method: str, path: str, content: Mapping[str, Any]) -> Answer:
        answer = await self._change(method, f"{self._mount}/{path}", content)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise ProviderUnavailableError(
                f"{self.where} refused to change the key {name} ({answer.status}): is a transit engine "
                f"mounted at {self._mount}? Its own log says more"
            )
        return answer

    async def _change(self, method: str, path: str, content: Mapping[str, Any]) -> Answer:
        """Asks for a change; of several made at once the server lets one pass, and fails the others."""
        for attempt in range(1, _ATTEMPTS):
            try:
                return await self._server.ask(method, path, content)
            except ServerFailedError:
                await asyncio.sleep(attempt * (1 + secrets.randbelow(100)) / 1000)
        return await self._server.ask(method, path, content)

    async def _batch(
        self,
        name: str,
        path: str,
        content: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        versions: Sequence[int] = (),
        first: int = 0,
    ) -> list[dict[str, Any]]:
        """The results of a batch, one for each item; an item that failed is told by its position."""
        answer = await self._server.ask("POST", f"{self._mount}/{path}", content, headers)
        results = answer.data.get("batch_results")
        if not isinstance(results, list):
            self._refused(name, answer)
        if len(results) != len(content["batch_input"]) or not all(isinstance(one, dict) for one in results):
            raise self._odd()
        for at, result in enumerate(results):
            if error := result.get("error"):
                self._item_refused(name, str(error), versions[at] if versions else None, first + at)
        if answer.status != HTTPStatus.OK:
            raise self._odd()
        return results

    def _refused(self, name: str, answer: Answer) -> NoReturn:
        self._known.pop(name, None)
        if any("key not found" in error for error in answer.errors):
            raise ProviderRefusedError(
                f"{self.where} holds no key {name} (as {self._named(name)}): restore it from its newest "
                "backup"
            )
        if any("disallowed by policy" in error or "does not exist" in error for error in answer.errors):
            raise self._no_version(name, None)
        raise ProviderUnavailableError(
            f"{self.where} did not use the key {name} ({answer.status}): is a transit engine mounted at "
            f"{self._mount}? Its own log says more"
        )

    def _item_refused(self, name: str, error: str, version: int | None, at: int) -> NoReturn:
        if "too old" in error or "too new" in error:
            self._known.pop(name, None)
            raise self._no_version(name, version, at)
        if "authentication failed" in error or "invalid ciphertext" in error:
            raise UnsealError("a wrapped key was altered, moved, or wrapped by another key", at)
        raise ProviderUnavailableError(f"{self.where} did not use the key {name}: its own log says why")

    def _no_version(self, name: str, version: int | None, at: int | None = None) -> ProviderRefusedError:
        which = "that version" if version is None else f"version {version}"
        return ProviderRefusedError(
            f"{self.where} holds no {which} of key {name}: it was destroyed, or the server is another "
            "vault's or was restored from too old a copy",
            at,
        )

    def _key(self, name: str, answer: Answer) -> _Key:
        data = answer.data
        kind = _TYPES.get(str(data.get("type")))
        if kind is None or any(
            data.get(each) for each in ("exportable", "allow_plaintext_backup", "derived")
        ):
            if "type" not in data:
                raise self._odd()
            raise ProviderRefusedError(
                f"the key {self._named(name)} of {self.where} may leave it, or is of a type that is not "
                "ours: let this vault make its keys, under a prefix of its own"
            )
        numbers = [
            data.get(each) for each in ("min_decryption_version", "latest_version", "min_available_version")
        ]
        if not all(isinstance(each, int) for each in numbers):
            raise self._odd()
        hidden, latest, trimmed = (int(each or 0) for each in numbers)
        oldest = max(1, hidden, trimmed)
        return _Key(kind, oldest, latest, max(1, trimmed), data.get("deletion_allowed") is True)

    def _text(self, text: object) -> tuple[int, bytes]:
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise self._odd()
        return int(match[1]), self._bytes(match[2])

    def _bytes(self, text: object) -> bytes:
        try:
            return binascii.a2b_base64(str(text), strict_mode=True)
        except ValueError:
            raise self._odd() from None

    def _odd(self) -> ProviderUnavailableError:
        return ProviderUnavailableError(f"{self.where} answered what no transit engine answers")

    def _at(self, name: str) -> str:
        return f"keys/{self._named(name)}"

    def _named(self, name: str) -> str:
        return transit_name(self._prefix, name)


def transit_name(prefix: str, name: str) -> str:
    """What a key is called in transit, whose names have no slash."""
    return f"{prefix}-{name.replace('_', '_u').replace('/', '_s')}"


def _parts(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[first : first + _MOST] for first in range(0, len(items), _MOST)]


def _uses(uses: Sequence[tuple[bytes, Purpose]]) -> dict[str, str]:
    """For the server's audit log: what the journal would say of each (FORMAT 10)."""
    text = ", ".join(f"{handle(aad)} {purpose}" for aad, purpose in uses)
    return {USES_HEADER: text} if text else {}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
