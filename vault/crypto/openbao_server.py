"""Talking with an OpenBao or HashiCorp Vault server: token, TLS, limits, and which failures may pass.

What the server says in words is never repeated: it may quote what it was sent.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx

from vault.crypto.errors import ProviderRefusedError, ProviderUnavailableError

_LARGEST: Final = 64 * 1024 * 1024
_LONGEST_TOKEN: Final = 8192
_CONNECTIONS: Final = 16
_KEPT_SECONDS: Final = 60
_RENEW_BELOW: Final = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered: its status, the data in it, and what it calls its errors."""

    status: int
    data: Mapping[str, Any]
    errors: tuple[str, ...]


class ServerFailedError(ProviderUnavailableError):
    """The server failed (500): two changes met in its storage, for instance. The next try may pass."""


class TokenFile:
    """A token somebody keeps fresh in a file: an agent, a timer, an operator. Read again when it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    def read(self) -> str:
        """The token.

        Raises:
            ProviderUnavailableError: The file is missing, open to others, or holds no token.
        """
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._seen:
                if status.st_mode & 0o077:
                    raise ProviderUnavailableError(
                        f"the token file {self.path} can be read by others than its owner: chmod 600 it"
                    )
                with self.path.open("rb") as file:
                    token = file.read(_LONGEST_TOKEN).strip()
                if not token or not token.isascii() or not token.decode("ascii").isprintable():
                    raise ProviderUnavailableError(f"the token file {self.path} holds no token: renew it")
                self._token, self._seen = token.decode("ascii"), seen
        except OSError as error:
            raise ProviderUnavailableError(
                f"the token file {self.path} cannot be read ({error.strerror}): name the file with the key "
                "server's token in CREDITVAULT_OPENBAO_TOKEN_FILE"
            ) from None
        return self._token


class OpenBaoServer:
    """One server, over HTTPS, with a token.

    Args:
        url: Its address, such as `https://bao.example:8200`.
        token: Where the token is.
        ca_file: Certificates to trust in place of the system's.
        namespace: Sent as `X-Vault-Namespace`.
        timeout: Seconds one request may take.

    Raises:
        ProviderRefusedError: The certificates cannot be used.
    """

    def __init__(
        self,
        url: str,
        token: TokenFile,
        *,
        ca_file: Path | None = None,
        namespace: str | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._timeout = timeout
        headers = {"X-Vault-Request": "true"}
        if namespace is not None:
            headers["X-Vault-Namespace"] = namespace
        self._client = httpx.AsyncClient(
            verify=_trusting(ca_file),
            headers=headers,
            timeout=timeout,
            limits=httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_KEPT_SECONDS),
            # A redirect would carry the token elsewhere.
            follow_redirects=False,
            trust_env=False,
        )

    async def ask(
        self,
        method: str,
        path: str,
        content: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request below `/v1/`; statuses below 500 but 403 and 429 are the caller's to judge.

        Raises:
            ProviderUnavailableError: It does not answer, is sealed, or does not accept the token.
        """
        token = self._token.read()
        answer = await self._ask(method, path, content, headers, token)
        if answer.status == HTTPStatus.FORBIDDEN and self._token.read() != token:
            answer = await self._ask(method, path, content, headers, self._token.read())
        if answer.status == HTTPStatus.FORBIDDEN:
            raise ProviderUnavailableError(
                f"the key server {self.url} does not let us {method} {path}: the token in "
                f"{self._token.path} has ended, its policy lacks a rule of deploy/openbao-policy.hcl, or "
                "CREDITVAULT_OPENBAO_MOUNT names another engine"
            )
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ServerFailedError(f"the key server {self.url} failed (500): its own log says why")
        if answer.status > HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _PASSING:
            raise ProviderUnavailableError(
                f"the key server {self.url} cannot answer now ({_PASSING.get(answer.status, answer.status)})"
            )
        return answer

    async def health(self) -> None:
        """Return if it is unsealed and accepts the token; a token that ends soon is renewed on the way.

        Raises:
            ProviderUnavailableError: Not now.
        """
        answer = await self.ask("GET", "auth/token/lookup-self")
        if answer.status != HTTPStatus.OK:
            raise ProviderUnavailableError(
                f"the key server {self.url} says nothing of our token ({answer.status})"
            )
        left, whole = answer.data.get("ttl"), answer.data.get("creation_ttl")
        if (
            answer.data.get("renewable") is True
            and isinstance(left, int)
            and isinstance(whole, int)
            and left < whole * _RENEW_BELOW
        ):
            # Refused or not: it is good for now, and the next look finds it renewed or nearer its end.
            await self.ask("POST", "auth/token/renew-self", {})

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _ask(
        self,
        method: str,
        path: str,
        content: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        token: str,
    ) -> Answer:
        request = self._client.build_request(
            method, f"{self.url}/v1/{path}", json=content, headers={**(headers or {}), "X-Vault-Token": token}
        )
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.send(request, stream=True)
                try:
                    received = await _bounded(response)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, TimeoutError, ssl.SSLError) as error:
            raise ProviderUnavailableError(
                f"the key server {self.url} does not answer ({_reason(error)}): see that it runs, and that "
                "CREDITVAULT_OPENBAO_URL and CREDITVAULT_OPENBAO_CA_FILE are its own"
            ) from None
        if received is None:
            raise ProviderUnavailableError(f"the key server {self.url} answers with more than was asked for")
        return self._read(response.status_code, received)

    def _read(self, status: int, received: bytes) -> Answer:
        try:
            document = json.loads(received) if received else {}
            data = document.get("data") or {}
            errors = document.get("errors") or ()
            if not isinstance(data, dict) or not all(isinstance(each, str) for each in errors):
                raise TypeError  # noqa: TRY301 -- told like every other answer that is none
        except (ValueError, TypeError, AttributeError):
            if status >= HTTPStatus.BAD_REQUEST:
                return Answer(status, {}, ())  # A proxy's page: the status says enough.
            raise ProviderUnavailableError(
                f"what answers at {self.url} is no OpenBao: see CREDITVAULT_OPENBAO_URL"
            ) from None
        return Answer(status, data, tuple(errors))


_PASSING: Final = {
    HTTPStatus.TEMPORARY_REDIRECT.value: "a standby: name the active server, or let standbys forward",
    HTTPStatus.PRECONDITION_FAILED.value: "412, not yet in step with the others",
    HTTPStatus.TOO_MANY_REQUESTS.value: "429, too many requests",
    472: "472, a standby for disasters",
    473: "473, a standby",
    HTTPStatus.SERVICE_UNAVAILABLE.value: "503, sealed or in maintenance: unseal it",
}


async def _bounded(response: httpx.Response) -> bytes | None:
    received = bytearray()
    async for chunk in response.aiter_bytes():
        received += chunk
        if len(received) > _LARGEST:
            return None
    return bytes(received)


def _reason(error: Exception) -> str:
    """Why, by class and certificate rule alone."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not to be trusted: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ProviderRefusedError(
            f"the certificates in {ca_file} cannot be used ({error.strerror or 'no certificate in it'}): "
            "name the PEM file of the key server's authority in CREDITVAULT_OPENBAO_CA_FILE"
        ) from None
