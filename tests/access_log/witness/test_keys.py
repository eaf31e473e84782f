"""A witness's key file."""

from pathlib import Path

import pytest

from access_log.errors import FormatError, WitnessStateError
from access_log.note import verify_note
from access_log.verifier_keys import COSIGNATURE_TYPES, ED25519, ED25519_COSIGNATURE
from access_log.witness.keys import make_key_file, read_key_file
from tests.access_log.witness.logs import TRUE

NAME = "witness.example/w1"


def test_a_new_key_is_private_reads_back_and_cosigns(tmp_path: Path) -> None:
    made = make_key_file(tmp_path / "key", NAME, COSIGNATURE_TYPES)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    read = read_key_file(tmp_path / "key")
    assert [each.key for each in read] == [each.key for each in made]
    note = TRUE.note(5) + "".join(each.line(TRUE.checkpoint(5), 1_700_000_000) for each in read)
    _, signatures = verify_note(note, [each.key for each in made])
    assert [each.time for each in signatures] == [1_700_000_000] * 2


def test_two_witnesses_have_two_keys(tmp_path: Path) -> None:
    one, two = (make_key_file(tmp_path / each, NAME, [ED25519_COSIGNATURE]) for each in ("a", "b"))
    assert one[0].key != two[0].key


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    make_key_file(tmp_path / "key", NAME, [ED25519_COSIGNATURE])
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(WitnessStateError, match="never written over"):
        make_key_file(tmp_path / "key", NAME, [ED25519_COSIGNATURE])
    assert (tmp_path / "key").read_bytes() == before


def test_names_and_types_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        make_key_file(tmp_path / "key", "two words", [ED25519_COSIGNATURE])
    with pytest.raises(FormatError):
        make_key_file(tmp_path / "key", NAME, [ED25519])
    assert not (tmp_path / "key").exists()


def test_files_that_are_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(WitnessStateError, match="cannot be read"):
        read_key_file(path)
    make_key_file(path, NAME, [ED25519_COSIGNATURE])
    path.chmod(0o640)
    with pytest.raises(WitnessStateError, match="chmod 600"):
        read_key_file(path)
    path.chmod(0o600)
    good = path.read_text()
    secret = good.split("+", 4)[4].strip()
    for bad in (
        "",
        good[:-6] + "\n",
        good.replace("PRIVATE+KEY+", ""),
        good.replace("w1", "w2"),
        good.replace("+", " "),
        "\xff",
    ):
        path.write_bytes(bad.encode("latin-1"))
        with pytest.raises(WitnessStateError) as refused:
            read_key_file(path)
        assert secret not in str(refused.value)
