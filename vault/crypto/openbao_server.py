"""Talking with an OpenBao or HashiCorp Vault server: token, TLS, limits, and which failures may pass.

What the server says in words is never repeated: it may quote what it was sent.
"""

import asyncio
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from vault.crypto.errors import ProviderRefusedError, ProviderUnavailableError

_TOKEN: Final = "X-Vault-Token"  # noqa: S105 -- the name of a header
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


class Login(Protocol):
    """Where the token comes from."""

    @property
    def named(self) -> str:
        """What it is called in messages."""
        ...

    async def token(self, server: "OpenBaoServer", refused: str | None = None) -> str:
        """A token; another one than was refused just now, if there is one.

        Raises:
            ProviderUnavailableError: There is none now.
        """
        ...


class TokenFile:
    """A token somebody keeps fresh in a file: an agent, a timer, an operator. Read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    @property
    def named(self) -> str:
        """By its path."""
        return f"the token in {self._path}"

    async def token(self, server: "OpenBaoServer", refused: str | None = None) -> str:
        """What the file holds now. See `Login.token`."""
        del server, refused
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._seen:
                self._token, self._seen = _secret(self._path, "token"), seen
        except OSError as error:
            raise ProviderUnavailableError(
                f"the token file {self._path} cannot be read ({error.strerror}): name the file with the key "
                "server's token in CREDITVAULT_OPENBAO_TOKEN_FILE"
            ) from None
        return self._token


class AppRole:
    """A role of the vault's own, which logs in by itself whenever it has no token that is accepted.

    Args:
        role_id: Of the role, no secret.
        secret_id: File with its secret id, read at each login.
    """

    def __init__(self, role_id: str, secret_id: Path) -> None:
        self._role_id = role_id
        self._secret_id = secret_id
        self._token: str | None = None
        self._entering = asyncio.Lock()

    @property
    def named(self) -> str:
        """By its id."""
        return f"the token of the role {self._role_id}"

    async def token(self, server: "OpenBaoServer", refused: str | None = None) -> str:
        """The token of the last login, or of a new one. See `Login.token`."""
        async with self._entering:
            if self._token is None or self._token == refused:
                self._token = await self._log_in(server)
            return self._token

    async def _log_in(self, server: "OpenBaoServer") -> str:
        try:
            secret = _secret(self._secret_id, "secret id")
        except OSError as error:
            raise ProviderUnavailableError(
                f"the file {self._secret_id} cannot be read ({error.strerror}): name the file with the "
                "secret id of the role in CREDITVAULT_OPENBAO_SECRET_ID_FILE"
            ) from None
        token = await server.log_in({"role_id": self._role_id, "secret_id": secret})
        if token is None:
            raise ProviderUnavailableError(
                f"the key server {server.url} does not accept the role {self._role_id} with the secret id in "
                f"{self._secret_id}: make a new one, or see CREDITVAULT_OPENBAO_ROLE_ID"
            )
        return token


def _secret(path: Path, what: str) -> str:
    """One line of a private file.

    Raises:
        OSError: It cannot be read.
        ProviderUnavailableError: Others can read it, or it holds no such thing.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise ProviderUnavailableError(
                f"the {what} file {path} can be read by others than its owner: chmod 600 it"
            )
        secret = file.read(_LONGEST_TOKEN).strip()
    if not secret or not secret.isascii() or not secret.decode("ascii").isprintable():
        raise ProviderUnavailableError(f"the {what} file {path} holds no {what}: renew it")
    return secret.decode("ascii")


class OpenBaoServer:
    """One server, over HTTPS, with a token.

    Args:
        url: Its address, such as `https://bao.example:8200`.
        login: Where the token comes from.
        ca_file: Certificates to trust in place of the system's.
        namespace: Sent as `X-Vault-Namespace`.
        timeout: Seconds one request may take.

    Raises:
        ProviderRefusedError: The certificates cannot be used.
    """

    def __init__(
        self,
        url: str,
        login: Login,
        *,
        ca_file: Path | None = None,
        namespace: str | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.url = url.rstrip("/")
        self._login = login
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
        token = await self._login.token(self)
        answer, _ = await self._ask(method, path, content, {**(headers or {}), _TOKEN: token})
        if answer.status == HTTPStatus.FORBIDDEN and (other := await self._login.token(self, token)) != token:
            answer, _ = await self._ask(method, path, content, {**(headers or {}), _TOKEN: other})
        if answer.status == HTTPStatus.FORBIDDEN:
            raise ProviderUnavailableError(
                f"the key server {self.url} does not let us {method} {path}: "
                f"{self._login.named} has ended, its policy lacks a rule of deploy/openbao-policy.hcl, or "
                "CREDITVAULT_OPENBAO_MOUNT names another engine"
            )
        self._require_answer(answer)
        return answer

    async def log_in(self, content: Mapping[str, str]) -> str | None:
        """Logs a role in; its token, or None if it was refused.

        Raises:
            ProviderUnavailableError: The server does not answer now.
        """
        answer, auth = await self._ask("POST", "auth/approle/login", content, {})
        self._require_answer(answer)
        token = auth.get("client_token")
        return token if isinstance(token, str) else None

    def _require_answer(self, answer: Answer) -> None:
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ServerFailedError(f"the key server {self.url} failed (500): its own log says why")
        if answer.status > HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _PASSING:
            raise ProviderUnavailableError(
                f"the key server {self.url} cannot answer now ({_PASSING.get(answer.status, answer.status)})"
            )

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
        headers: Mapping[str, str],
    ) -> tuple[Answer, Mapping[str, Any]]:
        """The answer, and what it says of a login."""
        request = self._client.build_request(method, f"{self.url}/v1/{path}", json=content, headers=headers)
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

    def _read(self, status: int, received: bytes) -> tuple[Answer, Mapping[str, Any]]:
        try:
            document = json.loads(received) if received else {}
            data = document.get("data") or {}
            auth = document.get("auth") or {}
            errors = document.get("errors") or ()
            members = isinstance(data, dict) and isinstance(auth, dict)
            if not members or not all(isinstance(each, str) for each in errors):
                raise TypeError  # noqa: TRY301 -- told like every other answer that is none
        except (ValueError, TypeError, AttributeError):
            if status >= HTTPStatus.BAD_REQUEST:
                return Answer(status, {}, ()), {}  # A proxy's page: the status says enough.
            raise ProviderUnavailableError(
                f"what answers at {self.url} is no OpenBao: see CREDITVAULT_OPENBAO_URL"
            ) from None
        return Answer(status, data, tuple(errors)), auth


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
