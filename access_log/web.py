"""A log published at a web address, read with limits on everything a server could draw out (FORMAT 10.2)."""

import ipaddress
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from socket import SHUT_RDWR, socket
from threading import Lock, Timer
from typing import IO, Final
from urllib.parse import urlsplit

from access_log.errors import SourceError

TIMEOUT: Final = 30.0
"""Seconds a web server may stay silent."""
PATIENCE: Final = 60.0
"""Seconds a web server has for one file, however slowly it goes on."""
MAX_REDIRECTS: Final = 3

_ABSENT: Final = (404, 410)
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_PAUSES: Final = (0.5, 2.0, 8.0)
_MAX_ADDRESS: Final = 2048


class _PassingError(SourceError):
    """A failure that may be gone at the next try."""


@dataclass(frozen=True, slots=True)
class Website:
    """A log published at a web address.

    What is read is believed only once its signatures and hashes are verified; https keeps strangers on the
    way from seeing what is read, and from cutting it.

    Attributes:
        url: The address of the log's root: https, or http on this machine.
        plain: Allow http to other machines too.
        timeout: Seconds the server may stay silent.
        patience: Seconds it has for one file.
        pauses: Seconds before each further try after a failure that may pass.

    Raises:
        SourceError: The address is of no log.
    """

    url: str
    plain: bool = False
    timeout: float = TIMEOUT
    patience: float = PATIENCE
    pauses: tuple[float, ...] = _PAUSES

    def __post_init__(self) -> None:
        _require_address(self.url, plain=self.plain)

    def read(self, path: str, limit: int) -> bytes | None:
        """Fetch a file below the address, with a few tries."""
        return self._try(path, limit, None)

    def ask(self, path: str, question: bytes, limit: int) -> bytes | None:
        """Post a question in JSON below the address and fetch the answer, with a few tries.

        What is asked must change nothing there, since it may be asked more than once. It travels in the body,
        because addresses are kept by caches and access logs.
        """
        return self._try(path, limit, question)

    def _try(self, path: str, limit: int, question: bytes | None) -> bytes | None:
        address = f"{self.url.rstrip('/')}/{path}"
        for pause in self.pauses:
            try:
                return self._fetch(address, limit, question)
            except _PassingError:
                time.sleep(pause)
        return self._fetch(address, limit, question)

    def _fetch(self, address: str, limit: int, question: bytes | None) -> bytes | None:
        watch = _Watch()
        timer = Timer(self.patience, watch.end)
        timer.daemon = True
        timer.start()
        try:
            opener = urllib.request.build_opener(
                _Http(watch), _Https(watch), _Redirects(address, plain=self.plain)
            )
            headers = {"Accept-Encoding": "identity"}
            if question is not None:
                headers["Content-Type"] = "application/json"
            request = urllib.request.Request(address, question, headers)  # noqa: S310 - checked
            with opener.open(request, timeout=self.timeout) as answer:
                data: bytes = answer.read(limit + 1)
                answered = answer.headers
        except urllib.error.HTTPError as error:
            with error:
                if watch.ended:
                    raise self._too_slow(address) from None
                if error.code in _ABSENT:
                    return None
                passing = error.code == _TOO_MANY or error.code >= _SERVER_ERROR
                kind = _PassingError if passing else SourceError
                raise kind(f"{address} answered {error.code}: try again, or ask who runs the log") from None
        except (OSError, HTTPException, ValueError) as error:
            if watch.ended:
                raise self._too_slow(address) from None
            raise _PassingError(
                f"{address} cannot be reached{_why(error)}: check the address and the network"
            ) from None
        finally:
            timer.cancel()
            watch.close()
        if watch.ended:  # What came may have been cut by us.
            raise self._too_slow(address)
        _require_whole(address, answered, len(data), limit)
        return data

    def _too_slow(self, address: str) -> SourceError:
        return SourceError(f"{address} was not served within {self.patience:g} seconds: try again later")


def _why(error: Exception) -> str:
    """Tell an untrusted certificate from a network that is down; other details say little."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return " (its certificate is not trusted)" if isinstance(reason, ssl.SSLCertVerificationError) else ""


def _require_whole(address: str, headers: Message, size: int, limit: int) -> None:
    """Refuse an answer that was cut or encoded on its way: it must not pass for a log with a gap."""
    if headers.get("Content-Encoding", "identity") != "identity":
        raise SourceError(f"{address} came compressed, though it was not asked to: switch that off")
    length = headers.get("Content-Length", "")
    if length.isdecimal() and size < min(int(length[:20]), limit + 1):
        raise _PassingError(f"{address} was cut on its way: try again")


# ── Addresses ────────────────────────────────────────────────────────────────────────────────────


def _require_address(address: str, *, plain: bool) -> None:
    if len(address) > _MAX_ADDRESS or any(not " " < each < "\x7f" for each in address):
        raise SourceError("the address of a log has no spaces, control characters or letters beyond ASCII")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SourceError("the address of the log is malformed: check it") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise SourceError("the address of a log begins with https:// (or http:// on this machine)")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SourceError("the address of a log has no user, query or fragment")
    if parts.scheme == "http" and not plain and not _is_here(host):
        raise SourceError(
            "http to another machine can be read and cut on its way: use https, or --plain-http"
        )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A log may have moved: a few times, never to a weaker scheme, never from elsewhere into this machine."""

    def __init__(self, address: str, *, plain: bool) -> None:
        self._from = urlsplit(address)
        self._plain = plain
        self._left = MAX_REDIRECTS

    def redirect_request(  # noqa: PLR0917 - as urllib has it
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Follow, or say why not."""
        self._require_allowed(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def _require_allowed(self, address: str) -> None:
        start = self._from.geturl()
        self._left -= 1
        if self._left < 0:
            raise SourceError(f"{start} leads on more than {MAX_REDIRECTS} times: give the last address")
        _require_address(address, plain=self._plain)
        to = urlsplit(address)
        if self._from.scheme == "https" and to.scheme != "https":
            raise SourceError(f"{start} leads from https to http: not followed")
        if _is_here(to.hostname or "") and not _is_here(self._from.hostname or ""):
            raise SourceError(f"{start} leads to an address of this machine: not followed")


# ── One file, one deadline ───────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Watch:
    """Ends the connections of one fetch when its time is over, wherever it then waits.

    A timeout of the socket does not do that: a server that sends one byte now and then is never silent.
    """

    ended: bool = False
    connections: list[HTTPConnection] = field(default_factory=list)
    sockets: list[socket] = field(default_factory=list)
    answers: list[HTTPResponse] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def close(self) -> None:
        """Let go of answers that urllib left open, as it does where it cannot read a redirect."""
        for each in self.answers:
            each.close()

    def end(self) -> None:
        """Shut everything down."""
        with self.lock:
            self.ended = True
            during_handshake = [each.sock for each in self.connections if isinstance(each.sock, socket)]
            for each in (*self.sockets, *during_handshake):
                try:
                    each.shutdown(SHUT_RDWR)
                except OSError:
                    continue  # It is closed already.

    def begin(self, connection: HTTPConnection) -> None:
        """Take a connection under watch before it is made."""
        with self.lock:
            if self.ended:
                raise TimeoutError
            self.connections.append(connection)

    def made(self, made: socket) -> None:
        """Keep the socket: the connection lets go of it while its answer is read."""
        with self.lock:
            self.sockets.append(made)
        if self.ended:
            self.end()


class _Watched(HTTPConnection):
    def __init__(self, host: str, *, watch: _Watch, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._watch = watch

    def connect(self) -> None:
        self._watch.begin(self)
        super().connect()
        self._watch.made(self.sock)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        self._watch.answers.append(self.do_open(partial(_Watched, watch=self._watch), req))
        return self._watch.answers[-1]


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        self._watch.answers.append(self.do_open(partial(_WatchedTls, watch=self._watch), req))
        return self._watch.answers[-1]
