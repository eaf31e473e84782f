"""Fetches the keys a body publishes, from a stranger's web server: whatever it does costs us a moment.

1. the URI: https with a plain host (http on this machine alone, where the whole vault runs there)
2. the address: of the public internet, looked up once, and the very one connected to
3. the answer: 200, uncompressed, from there itself (no redirect), within bytes and seconds
4. the set: within a number of keys, every signing key of the profile
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import httpx

from consent.body_keys import public_keys
from consent.oauth.errors import ForbiddenAddressError, KeyPolicyError, KeysNotFetchedError
from consent.oauth.public_address import Resolve, pinned, resolve
from consent.oauth.trust import system_trust

LONGEST_SET: Final = 65_536
SECONDS: Final = 5.0
_LONGEST_URI: Final = 2000
_ACCEPTED: Final = "application/jwk-set+json, application/json"
_PORTS: Final = {"https": 443, "http": 80}
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class PublishedKeys:
    """Where bodies publish their keys, as far as we look.

    Args:
        loopback: whether the whole vault runs on this machine (a demo): then key sets are fetched from here,
            by http too, and from nowhere else.
        tls: what certificates must be; None for what the system trusts.
        resolve: how names are resolved.
    """

    def __init__(
        self, *, loopback: bool, tls: ssl.SSLContext | None = None, resolve: Resolve = resolve
    ) -> None:
        self._loopback = loopback
        self._tls = tls
        self._resolve = resolve

    def check(self, uri: str) -> str:
        """The URI, if a body may publish its keys there.

        Raises:
            KeysNotFetchedError: it is of another form.
        """
        self._split(uri)
        return uri

    async def fetch(self, uri: str) -> dict[str, Any]:
        """The key set published there, as the register keeps it.

        Raises:
            KeysNotFetchedError: it cannot be had within the limits, or a key is not of the profile; the
                message says what to mend, in words of ours alone.
        """
        parts = self._split(uri)
        try:
            async with asyncio.timeout(SECONDS):
                content = await self._get(parts)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise KeysNotFetchedError(f"it does not answer within {SECONDS:.0f} seconds") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise KeysNotFetchedError("it cannot be reached, or its certificate does not hold") from error
        except ForbiddenAddressError as error:
            raise KeysNotFetchedError(str(error)) from error
        return _keys(content)

    def _split(self, uri: str) -> SplitResult:
        if not uri.isascii() or not uri.isprintable() or " " in uri or len(uri) > _LONGEST_URI:
            raise KeysNotFetchedError("it must be printable ASCII of at most 2000 characters")
        try:
            parts = urlsplit(uri)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise KeysNotFetchedError("it is no URI") from error
        here = self._loopback and host in _LOOPBACK
        if not host or parts.username is not None or "#" in uri or parts.scheme not in _PORTS:
            raise KeysNotFetchedError("it must be https://host/path, without user or fragment")
        if parts.scheme != "https" and not here:
            raise KeysNotFetchedError("it must be https")
        return parts

    async def _get(self, parts: SplitResult) -> bytes:
        host = parts.hostname or ""
        port = parts.port or _PORTS[parts.scheme]
        if self._tls is None:
            # Only now: to read what the system trusts takes longer than most commands that never fetch.
            self._tls = await asyncio.to_thread(system_trust)
        address = await pinned(host, port, loopback=self._loopback, resolve=self._resolve)
        # The address in place of the name, so that no second look-up can lead elsewhere; the certificate and
        # the Host header are still the name's.
        url = httpx.URL(
            scheme=parts.scheme,
            host=address,
            port=port,
            raw_path=f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}".encode(),
        )
        headers = {"Host": parts.netloc, "Accept": _ACCEPTED, "Accept-Encoding": "identity"}
        async with (
            httpx.AsyncClient(
                verify=self._tls, timeout=SECONDS, follow_redirects=False, trust_env=False
            ) as http,
            http.stream("GET", url, headers=headers, extensions={"sni_hostname": host}) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise KeysNotFetchedError("it does not answer with 200 itself; redirects are not followed")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise KeysNotFetchedError("it answers compressed without being asked to")
            content = bytearray()
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > LONGEST_SET:
                    raise KeysNotFetchedError(f"it is longer than {LONGEST_SET} bytes")
        return bytes(content)


def _keys(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise KeysNotFetchedError("it is not JSON") from error
    entries = found.get("keys") if isinstance(found, Mapping) else None
    if not isinstance(entries, list):
        raise KeysNotFetchedError('it is no JSON Web Key Set {"keys": [...]}')
    # A published set may hold keys for other uses beside those that sign (RFC 7517 §4.2); they are not ours.
    signing = [
        entry for entry in entries if not isinstance(entry, Mapping) or entry.get("use", "sig") == "sig"
    ]
    try:
        return public_keys({"keys": signing})
    except KeyPolicyError as error:
        raise KeysNotFetchedError(str(error)) from error
