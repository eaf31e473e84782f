"""A witness as another organization runs it: made, told of a log, served, killed, served again."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from access_log.note import verify_note
from access_log.verifier_keys import VerifierKey
from access_log.witness.protocol import origin_hash
from tests.access_log.witness.logs import KEY, ORIGIN, OTHER, TRUE
from tests.vault.server.commands import CREDITVAULT, Ran
from vault.server.cli.main import run

NAME = "witness.example/w1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "witness"
    assert run(["witness", "init", str(made), "--name", NAME]) == 0
    return made


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ran:
    capsys.readouterr()
    code = run(["witness", *arguments])
    return Ran(code, *capsys.readouterr())


def test_a_witness_is_made_and_told_of_logs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    made = command(capsys, "key", str(folder), "--json").json()
    assert made["name"] == NAME
    keys = [VerifierKey.parse(each) for each in made["keys"]]
    assert [(key.name, key.type) for key in keys] == [(NAME, 0x04), (NAME, 0x06)]
    assert command(capsys, "show", str(folder), "--json").json() == []
    for _ in range(2):
        assert command(capsys, "add-log", str(folder), str(KEY), "--json").json()["log"] == ORIGIN
    (shown,) = command(capsys, "show", str(folder), "--json").json()
    assert shown == {"log": ORIGIN, "keys": [str(KEY)], "size": None, "root": None, "time": None}
    assert ORIGIN in command(capsys, "show", str(folder)).out
    assert command(capsys, "remove-key", str(folder), str(KEY)).code == 0
    assert command(capsys, "show", str(folder), "--json").json() == []


def test_no_command_prints_the_secret(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = [line.split("+", 4)[4] for line in (folder / "key").read_text().splitlines()]
    for arguments in (["key"], ["key", "--json"], ["show"], ["init", "--name", NAME]):
        ran = command(capsys, arguments[0], str(folder), *arguments[1:])
        assert not any(secret in ran.out + ran.err for secret in secrets)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["init", "{folder}", "--name", NAME], "there already"),
        (["init", "{other}", "--name", "two words"], "no spaces"),
        (["init", "{other}", "--name", NAME, "--kind", "rsa"], "ml-dsa-44"),
        (["key", "{other}"], "cannot be read"),
        (["add-log", "{folder}", "nonsense"], "name+id+key"),
        (["add-log", "{folder}", str(KEY)[:-4]], "32 bytes"),
        (["add-log", "{other}", str(KEY)], "missing"),
        (["add-log", "{folder}", "{own}"], "type 0x01"),
        (["remove-key", "{folder}", str(KEY)], "was not trusted"),
        (["serve", "{other}"], "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    own = command(capsys, "key", str(folder)).out.split()[0]
    places = {"folder": str(folder), "other": str(folder.parent / "other"), "own": own}
    ran = command(capsys, *(each.format(**places) for each in arguments))
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert says in ran.err


@contextmanager
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CREDITVAULT_")}
    with (
        (folder / "said").open("ab") as output,
        subprocess.Popen(
            [CREDITVAULT, "witness", "serve", str(folder), "--port", str(port)],
            env=environment,
            stderr=output,
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
    ):
        try:
            deadline = time.monotonic() + 30
            while not _up(http):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process, http
        finally:
            process.kill()


def _up(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_two_processes_of_one_witness_killed_and_started_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [VerifierKey.parse(line) for line in command(capsys, "key", str(folder)).out.split()]
    with served(folder) as (first, one), served(folder) as (_, two):
        # What is told while they run counts at once.
        assert one.post("/add-checkpoint", content=TRUE.submission(0, 5)).status_code == 404
        command(capsys, "add-log", str(folder), str(KEY))
        answer = one.post("/add-checkpoint", content=TRUE.submission(0, 5))
        assert answer.status_code == 200
        cosigned = verify_note(TRUE.note(5) + answer.text, keys)[1]
        assert [each.key for each in cosigned] == keys
        assert two.post("/add-checkpoint", content=OTHER.submission(5, 5)).status_code == 422
        assert two.post("/add-checkpoint", content=TRUE.submission(5, 9)).status_code == 200
        assert one.post("/add-checkpoint", content=TRUE.submission(5, 10)).text == "9\n"
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0, "it ends in order"
    # The second was killed.
    (shown,) = command(capsys, "show", str(folder), "--json").json()
    assert shown["size"] == 9
    with served(folder) as (_, http):
        assert http.post("/add-checkpoint", content=TRUE.submission(9, 12)).status_code == 200
        note = http.get(f"/{origin_hash(ORIGIN)}/checkpoint").text
        assert verify_note(note, [KEY, *keys])[0] == TRUE.checkpoint(12).text()
