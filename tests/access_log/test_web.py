"""What a server can do to who reads a log from it: nothing but fail (FORMAT 10.2)."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import pytest

from access_log.errors import SourceError
from access_log.web import Website

Answer = Callable[[socket.socket, str], None]
OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A server that answers each connection as it is told, byte by byte where need be."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65_536) or b"\r\n\r\n"
            answer(connection, [*request.decode("latin-1").split(" "), ""][1])

    def serve() -> None:
        while not over.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/log"
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def read(answer: Answer, patience: float = 20) -> bytes | None:
    with answering(answer) as url:
        return Website(url, patience=patience, pauses=()).read("checkpoint", 1000)


def failure(answer: Answer, patience: float = 20) -> str:
    with pytest.raises(SourceError) as caught:
        read(answer, patience)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def said(*parts: bytes) -> Answer:
    return lambda connection, _: connection.sendall(b"".join(parts))


def trickling(head: bytes, each: bytes) -> Answer:
    """Sends a little, then a little more, and never ends."""

    def answer(connection: socket.socket, _path: str) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(each)
            connection.settimeout(0.02)
            with suppress(TimeoutError):
                if not connection.recv(1):  # Whoever reads has gone.
                    return

    return answer


def test_an_answer_is_read() -> None:
    assert read(said(OK, b"Content-Length: 3\r\n\r\nabc")) == b"abc"
    assert read(said(OK, b"\r\nabc")) == b"abc"
    assert read(said(b"HTTP/1.1 404 No\r\n\r\n")) is None


@pytest.mark.parametrize(
    ("head", "each"),
    [
        (b"", b"H"),
        (OK, b"X"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK + b"Content-Length: 900\r\n\r\n", b"x"),
        (b"HTTP/1.1 404 No\r\nX: ", b"x"),
    ],
)
def test_a_server_that_never_ends_is_left(head: bytes, each: bytes) -> None:
    started = monotonic()
    assert "was not served within 0.4 seconds" in failure(trickling(head, each), patience=0.4)
    assert monotonic() - started < 10


def test_a_body_without_end_is_cut_at_the_limit() -> None:
    assert read(trickling(OK + b"\r\n", b"x" * 600)) == b"x" * 1001


def test_headers_without_end_are_left() -> None:
    assert "cannot be reached" in failure(trickling(OK, b"X: y\r\n" * 50))
    assert "cannot be reached" in failure(trickling(OK + b"X: ", b"x" * 10_000))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    assert "compressed" in failure(said(OK, b"Content-Encoding: gzip\r\n\r\n", bomb))


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 99", b"Content-Length: -1", b"Content-Length: many", b"Transfer-Encoding: chunked"],
)
def test_lengths_that_do_not_fit_are_no_log_with_a_gap(head: bytes) -> None:
    answer = said(OK, head, b"\r\n\r\nff\r\nabc")
    if b"Length: 99" not in head and b"chunked" not in head:  # As if there were none: up to the end.
        assert read(answer) == b"ff\r\nabc"
    else:
        failure(answer)


@pytest.mark.parametrize(
    "junk", [b"", b"\x00" * 100, b"HTTP/1.1 999 \xff\r\n\r\n", b"HTTP/9 x\r\n\r\n", b"\r\n" * 9]
)
def test_what_is_no_answer_is_one_line(junk: bytes) -> None:
    failure(said(junk))


def moved(to: str) -> Answer:
    return said(b"HTTP/1.1 302 Moved\r\nContent-Length: 0\r\nLocation: ", to.encode("latin-1"), b"\r\n\r\n")


def test_a_log_that_moved_is_followed_three_times() -> None:
    def moving(times: int) -> Answer:
        def answer(connection: socket.socket, path: str) -> None:
            made = path.count("x")
            if made < times:
                moved(f"/log/checkpoint{'x' * (made + 1)}")(connection, path)
            else:
                said(OK, b"\r\nhere")(connection, path)

        return answer

    assert read(moving(3)) == b"here"
    assert "leads on more than 3 times" in failure(moving(4))


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("/log/checkpoint", "leads on more than"),
        ("http://vault.example/log", "http to another machine"),
        ("ftp://vault.example/log", ""),
        ("file:///etc/passwd", ""),
        ("https://user:secret@vault.example/", "no user"),
        ("http://[bad", ""),
        ("https://" + "a" * 3000, "the address"),
        ("//\xff", ""),
    ],
)
def test_where_no_redirect_leads(to: str, reason: str) -> None:
    assert reason in failure(moved(to))


@pytest.mark.parametrize(
    "url",
    [
        "http://vault.example/log",
        "http://10.0.0.1/log",
        "https://user@vault.example/log",
        "https://vault.example/log?x",
        "https://vault.example/log#x",
        "https://vault.example:port/log",
        "https://vault.example/\x1b[2J",
        "https:///log",
        "https://" + "a" * 3000,
    ],
)
def test_addresses_that_are_refused_unasked(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        Website(url)
    assert "\x1b" not in str(caught.value)


def test_http_to_other_machines_is_a_choice() -> None:
    assert Website("http://vault.example/log", plain=True).url == "http://vault.example/log"
    for url in ("https://vault.example/log", "http://localhost:8000/log", "http://[::1]/log"):
        assert Website(url).url == url


@pytest.mark.slow
def test_a_handshake_that_never_ends_is_left() -> None:
    with answering(said(b"no TLS")) as url, pytest.raises(SourceError, match="was not served within"):
        Website(url.replace("http:", "https:"), patience=0.4, pauses=()).read("checkpoint", 10)
