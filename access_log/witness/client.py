"""One witness, asked over HTTP: what it may say, how long it may take, and what counts as its failure."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import httpx

from access_log.encoding import from_decimal
from access_log.errors import AccessLogError, FormatError
from access_log.note import MAX_NOTE
from access_log.witness.protocol import SIZE_TYPE, Status, origin_hash

MAX_ANSWER: Final = MAX_NOTE
"""The longest answer of a witness that is read, in bytes: no list of signature lines is longer."""

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class WitnessFailedError(AccessLogError):
    """A witness did not do what it is for. Its message repeats nothing of what it said.

    Attributes:
        kind: `gone` (no answer in time), `refused` (another status), `malformed`, `bad-cosignature`,
            `unproven-claim` (a larger size without our signature), `another-tree`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Conflict:
    """The witness cosigned another size last."""

    size: int


def require_url(url: str) -> str:
    """A witness's submission prefix, without a slash at its end.

    Raises:
        FormatError: it may be no witness's: not https, nor plain http on loopback, or with a query.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise FormatError("the URL of a witness is malformed") from None
    if not host or parts.username is not None or parts.query or parts.fragment:
        raise FormatError("the URL of a witness has a host, and no user, query or fragment")
    if parts.scheme != "https" and (parts.scheme, host in _LOOPBACK) != ("http", True):
        raise FormatError("the URL of a witness is https, outside loopback")
    return url.rstrip("/")


class WitnessClient:
    """Asks witnesses. Follows no redirect, reads no proxy from the environment, believes nothing.

    Args:
        timeout: seconds one request may take, from its first byte to the last of the answer.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._http = httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=timeout)

    async def close(self) -> None:
        """Lets go of the connections."""
        await self._http.aclose()

    async def add_checkpoint(self, url: str, body: bytes) -> str | Conflict:
        """Submits a checkpoint; returns signature lines, of whomever, or the size that was cosigned last.

        Raises:
            WitnessFailedError: it is gone, refused, or its answer is malformed.
        """
        answer, text = await self._ask("POST", f"{url}/add-checkpoint", body)
        if answer.status_code == Status.COSIGNED:
            return text
        if answer.status_code == Status.CONFLICT and answer.headers.get("content-type") == SIZE_TYPE:
            try:
                return Conflict(from_decimal(text.removesuffix("\n"), "the size"))
            except FormatError:
                raise WitnessFailedError("malformed", "the witness states no size") from None
        raise WitnessFailedError("refused", f"the witness answered {answer.status_code}")

    async def checkpoint(self, url: str, origin: str) -> str:
        """The last note of a log that the witness says it cosigned; nothing in it is verified.

        Raises:
            WitnessFailedError: it is gone, refused, or its answer is malformed.
        """
        answer, text = await self._ask("GET", f"{url}/{origin_hash(origin)}/checkpoint")
        if answer.status_code != HTTPStatus.OK:
            raise WitnessFailedError("refused", f"the witness answered {answer.status_code}")
        return text

    async def _ask(self, method: str, url: str, body: bytes | None = None) -> tuple[httpx.Response, str]:
        headers = {"Accept-Encoding": "identity"}
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream(method, url, content=body, headers=headers) as answer,
            ):
                read = bytearray()
                # As it comes: what is compressed although that was not asked for is not expanded.
                async for part in answer.aiter_raw():
                    read += part
                    if len(read) > MAX_ANSWER:
                        raise WitnessFailedError("malformed", "the witness's answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise WitnessFailedError("gone", f"the witness did not answer ({type(error).__name__})") from None
        try:
            return answer, read.decode()
        except UnicodeDecodeError:
            raise WitnessFailedError("malformed", "the witness's answer is not UTF-8") from None
