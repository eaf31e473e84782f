"""Files put into place: whole or absent, one process at a time, and errors that say what to do."""

import errno
import os
from pathlib import Path

import pytest

from access_log.durable import DurableFolder
from access_log.errors import FolderError

REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EACCES: "the right to write there",
    errno.EROFS: "the right to write there",
    errno.EIO: "mend it",
}


def test_what_is_put_is_held(tmp_path: Path) -> None:
    folder = DurableFolder(tmp_path / "a" / "b")
    with folder.held():
        folder.put([("one", b"1"), ("deep/er/two", b"2" * 100_000)])
        folder.settle()
        assert folder.holds("one", b"1")
        assert not folder.holds("one", b"12")
        assert not folder.holds("one", b"")
        assert folder.read("deep/er/two", 10) == b"2" * 11
        assert folder.read("three", 10) is None
        folder.put([("one", b"other")])
        assert folder.read("one", 10) == b"other"
        folder.remove("deep/er")
        folder.remove("one")
        folder.remove("one")
    assert sorted(path.name for path in folder.root.iterdir()) == [".lock", ".new", "deep"]


def test_it_is_held_by_one(tmp_path: Path) -> None:
    with DurableFolder(tmp_path).held(), pytest.raises(FolderError, match="another process is adding to"):
        DurableFolder(tmp_path).held().__enter__()
    with DurableFolder(tmp_path).held():
        pass


@pytest.mark.parametrize("number", REMEDIES)
def test_errors_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    folder = DurableFolder(tmp_path)

    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with folder.held():
        folder.put([("one", b"1")])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(FolderError, match=REMEDIES[number]) as caught:
                folder.put([("one", b"2"), ("two", b"2")])
        assert str(caught.value).startswith(f"{tmp_path} cannot be used ({os.strerror(number)}): ")
        assert folder.holds("one", b"1")
        assert folder.read("two", 1) is None
        assert list((tmp_path / ".new").iterdir()) == []


def test_a_write_that_was_cut_short_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = DurableFolder(tmp_path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:3]))
    with folder.held():
        folder.put([("one", b"0123456789")])
        assert folder.holds("one", b"0123456789")
