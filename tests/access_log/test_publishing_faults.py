"""Every file operation of publishing fails, lost and persisted; the power is cut after each of them.

Whatever happens, the folder holds a checkpoint that verifies, the older one or the newer, and the next run
ends as if nothing had been.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from access_log.errors import FolderError
from access_log.log import Log
from access_log.publishing import publish
from access_log.sources import Directory
from access_log.verify import verify_log
from tests.access_log.logs import append, keys_of

BEFORE, AFTER = 300, 600
OPERATIONS = ("open", "fchmod", "write", "fsync", "close", "mkdir", "chmod", "replace", "unlink", "rmdir")


@dataclass
class _Faults:
    """Counts the file operations below a folder, and lets one of them fail before or after its effect."""

    folder: Path
    at: int = -1
    persisted: bool = False
    error: int = errno.EIO
    passed: list[str] = field(default_factory=list)
    _open: dict[int, bool] = field(default_factory=dict)

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **named: Any) -> Any:
            first = arguments[0]
            ours = self._open.get(first, False) if isinstance(first, int) else self._below(first)
            if not ours:
                return real(*arguments, **named)
            number = len(self.passed)
            self.passed.append(name)
            if number == self.at and not self.persisted and name != "close":
                raise self._failure(first)
            result = real(*arguments, **named)
            if name == "open":
                self._open[result] = True
            elif name == "close":
                self._open.pop(first, None)
            if number == self.at:
                if name == "open":
                    os.close(result)
                raise self._failure(first)
            return result

        return operation

    def _failure(self, on: object) -> OSError:
        reason = os.strerror(self.error)
        return OSError(self.error, reason) if isinstance(on, int) else OSError(self.error, reason, str(on))

    def _below(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and Path(path).is_relative_to(self.folder)


@contextmanager
def injected(faults: _Faults) -> Iterator[_Faults]:
    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(os, name, faults.wrap(name, getattr(os, name)))
        yield faults


def size_in(log: Log, folder: Path) -> int:
    return verify_log(Directory(folder), keys_of(log)).checkpoint.size


@pytest.fixture
async def started(log: Log, tmp_path: Path) -> Path:
    """A folder that was published at 300 entries of a log that has 600 now."""
    folder = tmp_path / "start"
    await append(log, BEFORE)
    await publish(log, folder)
    await append(log, AFTER - BEFORE)
    return folder


async def _operations(log: Log, started: Path, folder: Path) -> list[str]:
    shutil.copytree(started, folder)
    with injected(_Faults(folder)) as faults:
        await publish(log, folder)
    shutil.rmtree(folder)
    return faults.passed


@pytest.mark.slow
@pytest.mark.parametrize("persisted", [False, True], ids=["lost", "persisted"])
async def test_every_operation_fails_once(
    log: Log, started: Path, tmp_path: Path, *, persisted: bool
) -> None:
    folder = tmp_path / "folder"
    operations = await _operations(log, started, folder)
    assert {"open", "write", "fsync", "replace", "unlink", "rmdir"} <= set(operations)
    failed = 0
    for at in range(len(operations)):
        shutil.copytree(started, folder)
        with injected(_Faults(folder, at, persisted)):
            try:
                await publish(log, folder)
            except FolderError as error:
                failed += 1
                assert "\n" not in str(error)  # noqa: PT017 -- one line for the operator
                assert "cannot be used" in str(error)  # noqa: PT017 -- the same
        assert size_in(log, folder) in {BEFORE, AFTER}, f"operation {at}, {operations[at]}"
        assert (await publish(log, folder)).size == AFTER
        assert size_in(log, folder) == AFTER
        assert not list((folder / ".new").iterdir())
        shutil.rmtree(folder)
    assert failed > len(operations) // 2


async def test_a_disk_that_is_full_says_what_to_do(log: Log, started: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    operations = await _operations(log, started, folder)
    shutil.copytree(started, folder)
    writes = [at for at, name in enumerate(operations) if name == "write"]
    for at in (writes[0], writes[-1]):
        with (
            injected(_Faults(folder, at, error=errno.ENOSPC)),
            pytest.raises(FolderError, match=r"\(No space left on device\): make room, then run it again"),
        ):
            await publish(log, folder)
        assert size_in(log, folder) == BEFORE
        assert not list((folder / ".new").iterdir())
    assert (await publish(log, folder)).size == AFTER


# ── The power is cut ─────────────────────────────────────────────────────────────────────────────


@dataclass
class _Disk:
    """What a disk would hold if the power were cut now: only synced contents, under synced names.

    Attributes:
        names: For each folder, the names it had when it was synced last, with the content each had been
            synced with by then.
        kept: The same, but that every rename in the root folder reached the disk at once: the order a file
            system may choose.
    """

    folder: Path
    synced: dict[int, bytes] = field(default_factory=dict)
    names: dict[Path, dict[str, int]] = field(default_factory=dict)
    states: list[tuple[dict[Path, bytes], bool]] = field(default_factory=list)
    _paths: dict[int, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> "_Disk":
        """Everything that stands there is durable."""
        disk = cls(folder)
        for each in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
            disk._sync_folder(each)
            for file in each.iterdir():
                if file.is_file():
                    disk.synced[file.stat().st_ino] = file.read_bytes()
        return disk

    def _sync_folder(self, folder: Path) -> None:
        self.names[folder] = {each.name: each.stat().st_ino for each in folder.iterdir()}

    def cut(self, *, eager: bool) -> dict[Path, bytes]:
        """The files that are left. With `eager` the names in the root folder are those of this moment."""
        names = dict(self.names)
        if eager:
            names[self.folder] = {each.name: each.stat().st_ino for each in self.folder.iterdir()}
        left: dict[Path, bytes] = {}

        def walk(folder: Path) -> None:
            for name, inode in names.get(folder, {}).items():
                if folder / name in names:
                    walk(folder / name)
                elif inode in self.synced:
                    left[(folder / name).relative_to(self.folder)] = self.synced[inode]

        walk(self.folder)
        return left

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **named: Any) -> Any:
            result = real(*arguments, **named)
            first = arguments[0]
            if name == "open":
                self._paths[result] = Path(first)
            elif name == "fsync" and (path := self._paths.get(first)) is not None:
                if path.is_dir():
                    self._sync_folder(path)
                elif path.exists():
                    self.synced[path.stat().st_ino] = path.read_bytes()
            if name in {"fsync", "replace"}:
                self.states.extend([(self.cut(eager=False), False), (self.cut(eager=True), True)])
            return result

        return operation


async def _cuts(log: Log, folder: Path) -> list[dict[Path, bytes]]:
    disk = _Disk.of(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "fsync", "replace"):
            patch.setattr(os, name, disk.wrap(name, getattr(os, name)))
        await publish(log, folder)
    unlike: list[dict[Path, bytes]] = []
    for state, _ in disk.states:
        if not unlike or state != unlike[-1]:
            unlike.append(state)
    return unlike


def _write(folder: Path, state: dict[Path, bytes]) -> None:
    for path, content in state.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


async def test_the_power_is_cut_at_every_moment(log: Log, started: Path, tmp_path: Path) -> None:
    """Only what was synced is left, and of the root folder what the file system liked to keep."""
    sizes = set()
    for number, state in enumerate(await _cuts(log, started)):
        folder = tmp_path / f"cut-{number}"
        _write(folder, state)
        sizes.add(size_in(log, folder))
        assert (await publish(log, folder)).size == AFTER
        assert size_in(log, folder) == AFTER
    assert sizes == {BEFORE, AFTER}


async def test_the_power_is_cut_after_a_run_that_was_killed(log: Log, started: Path, tmp_path: Path) -> None:
    """Names that a killed run made, but did not sync, are synced by the run that finds them."""
    done = tmp_path / "done"
    shutil.copytree(started, done)
    await publish(log, done)
    disk = _Disk.of(started)
    for path in done.rglob("*"):
        place = started / path.relative_to(done)
        if path.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
            disk.synced[place.stat().st_ino] = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "fsync", "replace"):
            patch.setattr(os, name, disk.wrap(name, getattr(os, name)))
        assert (await publish(log, started)).same > 0
    sizes = set()
    for number, (state, _) in enumerate(disk.states):
        folder = tmp_path / f"cut-{number}"
        _write(folder, state)
        sizes.add(size_in(log, folder))
    assert sizes == {BEFORE, AFTER}
