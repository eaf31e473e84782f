"""Reading a log from directories and over HTTP (FORMAT 6)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from access_log.errors import SourceError, VerificationError
from access_log.sources import Directory, source_of
from access_log.verify import verify_log
from access_log.web import Website
from tests.access_log.simulator import KEYS, Memory, make_entries, publish

ENTRIES = make_entries(600)


class LogServer(ThreadingHTTPServer):
    """A web server over a log in memory, with the faults a test asks for."""

    memory: Memory
    failures: int = 0
    status: int = 503
    cut: str = ""
    encoding: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/log/"


class Handler(BaseHTTPRequestHandler):
    server: LogServer

    def do_GET(self) -> None:
        path = self.path.removeprefix("/log/")
        data = self.server.memory.files.get(path)
        if self.server.failures > 0:
            self.server.failures -= 1
            self.send_error(self.server.status)
            return
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        if self.server.encoding:
            self.send_header("Content-Encoding", self.server.encoding)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if path == self.server.cut else data)

    def log_message(self, *_arguments: object) -> None:
        """Keep the test's output clean."""


@contextmanager
def serving(memory: Memory) -> Iterator[LogServer]:
    server = LogServer(("127.0.0.1", 0), Handler)
    server.memory = memory
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[LogServer]:
    with serving(publish(ENTRIES)) as running:
        yield running


def test_a_log_verifies_over_http(server: LogServer) -> None:
    for jobs in (1, 4):
        assert verify_log(Website(server.url), KEYS, jobs=jobs).checkpoint.size == 600
    assert verify_log(source_of(server.url.rstrip("/")), KEYS).checkpoint.size == 600


def test_tampering_is_found_over_http(server: LogServer) -> None:
    raw = bytearray(server.memory.files["tile/entries/000"])
    raw[108 * 9 + 90] ^= 1
    server.memory.files["tile/entries/000"] = bytes(raw)
    with pytest.raises(VerificationError, match="entry 9"):
        verify_log(Website(server.url), KEYS, jobs=4)


def test_a_file_that_is_not_there_is_none(server: LogServer) -> None:
    assert Website(server.url).read("tile/0/999", 10) is None


def test_at_most_one_byte_more_than_the_limit_is_read(server: LogServer, tmp_path: Path) -> None:
    assert len(Website(server.url).read("checkpoint", 10) or b"") == 11
    assert len(Directory(server.memory.write_to(tmp_path)).read("checkpoint", 10) or b"") == 11


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_fails_is_asked_again(server: LogServer, status: int) -> None:
    server.failures, server.status = 2, status
    assert Website(server.url, pauses=(0, 0)).read("checkpoint", 10_000) is not None
    server.failures = 3
    with pytest.raises(SourceError, match=str(status)):
        Website(server.url, pauses=(0, 0)).read("checkpoint", 10_000)


def test_a_server_that_refuses_is_not_asked_again(server: LogServer) -> None:
    server.failures, server.status = 1, 403
    with pytest.raises(SourceError, match="403"):
        Website(server.url).read("checkpoint", 10_000)
    assert server.failures == 0


def test_an_answer_cut_on_its_way_is_no_missing_entry(server: LogServer) -> None:
    server.cut = "tile/entries/001"
    with pytest.raises(SourceError, match="cut on its way"):
        verify_log(Website(server.url, pauses=()), KEYS)


def test_an_answer_compressed_unasked_is_no_tampering(server: LogServer) -> None:
    server.encoding = "gzip"
    with pytest.raises(SourceError, match="compressed"):
        verify_log(Website(server.url, pauses=()), KEYS)


def test_a_server_that_is_gone_is_said_to_be() -> None:
    with serving(Memory()) as server:
        url = server.url
    with pytest.raises(SourceError, match="cannot be reached"):
        Website(url, pauses=()).read("checkpoint", 10)
    with pytest.raises(SourceError, match="malformed"):
        Website("http://[bad", pauses=())


@pytest.mark.parametrize("url", ["ftp://vault.example/log", "file:///etc"])
def test_only_web_addresses_are_fetched(url: str) -> None:
    with pytest.raises(SourceError, match="http"):
        source_of(url)


def test_a_directory_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no directory"):
        source_of(str(tmp_path / "nowhere"))
    assert source_of(str(tmp_path)) == Directory(tmp_path)


def test_a_directory_tells_absent_from_unreadable(tmp_path: Path) -> None:
    (tmp_path / "tile").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    directory = Directory(tmp_path)
    assert directory.read("checkpoint", 10) is None
    assert directory.read("file/below", 10) is None
    with pytest.raises(SourceError, match="cannot be read"):
        directory.read("tile", 10)
