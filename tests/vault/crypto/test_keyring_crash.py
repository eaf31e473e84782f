"""The keyring file under two processes, kill -9 and a disk that fails at each step."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vault.crypto.errors import ProviderUnavailableError
from vault.crypto.keyring import FileKeyring

PASSPHRASE = "correct horse battery staple"
SECRET = bytes(range(32))

CREATOR = """
import asyncio, sys
from pathlib import Path
from vault.crypto.keyring import FileKeyring

async def create(path, passphrase, prefix, count):
    keyring = FileKeyring.open(Path(path), passphrase)
    sys.stdin.readline()
    for number in range(int(count)):
        name = f"{prefix}/{number % 40}"
        version = await keyring.create(name)
        print(name, version, flush=True)

asyncio.run(create(*sys.argv[1:]))
"""


def creator(path: Path, prefix: str, count: int) -> subprocess.Popen[str]:
    """A process that makes keys, one line for each that was acknowledged; it waits for a line to start."""
    return subprocess.Popen(
        [sys.executable, "-c", CREATOR, str(path), PASSPHRASE, prefix, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def start(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def killed_after(milliseconds: int, process: subprocess.Popen[str]) -> list[str]:
    """Kills it so long after its first key; what it acknowledged until then."""
    start(process)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(milliseconds / 1000)  # no event to wait for: the kill has to land anywhere in a rewrite
    process.send_signal(signal.SIGKILL)
    lines += process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == -signal.SIGKILL
    return lines


def files_beside(path: Path) -> set[str]:
    return {found.name for found in path.parent.iterdir()}


async def acknowledged_are_there(path: Path, lines: list[str]) -> None:
    keyring = FileKeyring.open(path, PASSPHRASE)
    for line in lines:
        name, version = line.split()
        assert int(version) in await keyring.versions(name)


async def test_two_processes_that_create_at_once_lose_no_key(keyring: FileKeyring, path: Path) -> None:
    processes = [creator(path, prefix, 40) for prefix in ("same", "same", "other")]
    for process in processes:
        start(process)
    for number in range(40):
        await keyring.create(f"mine/{number}")
    lines = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(lines) == len(set(lines)) == 120
    await acknowledged_are_there(path, [*lines, *(f"mine/{number} 1" for number in range(40))])


@pytest.mark.parametrize("milliseconds", [1, 3, 7, 12, 20, 33, 50, 90])
async def test_kill_9_during_a_rewrite_loses_no_acknowledged_key(
    keyring: FileKeyring, path: Path, milliseconds: int
) -> None:
    await keyring.create("root")
    lines = killed_after(milliseconds, creator(path, "killed", 100_000))
    await acknowledged_are_there(path, ["root 1", *lines])
    assert await FileKeyring.open(path, PASSPHRASE).create("after") == 1
    assert files_beside(path) == {"keyring", "keyring.lock"}


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace", "sync_folder"])
async def test_a_rewrite_that_fails_at_a_step_leaves_a_whole_file(
    keyring: FileKeyring, path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await keyring.create("root")
    wrapped = await keyring.wrap("root", SECRET, b"")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    target: dict[str, tuple[object, str]] = {
        "open": (Path, "unlink"),
        "write": (os, "write"),
        "fsync": (os, "fsync"),
        "replace": (Path, "replace"),
        "sync_folder": (sys.modules["vault.crypto.replacing"], "_sync_folder"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*target[step], lambda *args, **_: full(*args))
        with pytest.raises(ProviderUnavailableError, match="No space left") as caught:
            await keyring.create("new")
    assert caught.value.retryable
    for holder in (keyring, FileKeyring.open(path, PASSPHRASE)):
        assert await holder.unwrap("root", wrapped, b"") == SECRET
    assert await keyring.create("new") in {1, 2}
