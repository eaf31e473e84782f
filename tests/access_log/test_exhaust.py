"""A person's completeness against a whole published log."""

import dataclasses
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from access_log.checkpoint import Checkpoint, SigningKey, VerifierKey
from access_log.errors import SourceError, VerificationError
from access_log.exhaust import exhaust
from access_log.web import Website
from tests.access_log.persons import ANN, BOB, Persons, at
from tests.access_log.simulator import KEYS, ORIGIN, SIGNER, Memory, publish, sign


def grown(count: int) -> Persons:
    """Every fifth entry is Ann's."""
    persons = Persons()
    for index in range(count):
        persons.add(ANN if index % 5 == 0 else BOB, at(2026, 6 + index * 3 // count))
    return persons


@pytest.fixture(scope="module")
def persons() -> Persons:
    return grown(600)


def test_a_person_is_found_in_the_whole_log(persons: Persons) -> None:
    steps: list[tuple[int, int]] = []
    read = exhaust(
        persons.publish(), persons.material(), KEYS, progress=lambda done, of: steps.append((done, of))
    )
    assert read.completeness.complete
    assert read.completeness.streams[0].opened == 120
    assert (read.published.size, read.made_at.size) == (600, 600)
    assert steps == [(256, 600), (512, 600), (600, 600)]


def test_a_log_that_has_grown_since_is_the_same_log(persons: Persons) -> None:
    for size in (1, 255, 256, 257, 511, 513, 600):
        note = sign(persons.entries[:size])
        entries = tuple(one for one in persons.material().streams[0].entries if one.index < size)
        material = persons.material(checkpoint=note)
        own = dataclasses.replace(material.streams[0], entries=entries)
        read = exhaust(persons.publish(), dataclasses.replace(material, streams=(own,)), KEYS)
        assert read.completeness.complete, (size, read.completeness.gaps)
        assert len(read.completeness.streams[0].newer) == 120 - len(entries)


def test_another_log_than_the_materials_is_refused(persons: Persons) -> None:
    other = grown(600)
    material = persons.material(checkpoint=sign(other.entries[:300]))
    with pytest.raises(VerificationError, match="an entry before 300 was replaced"):
        exhaust(persons.publish(), material, KEYS)


def test_a_shorter_log_than_the_materials_is_refused(persons: Persons) -> None:
    with pytest.raises(VerificationError, match="the log was cut") as caught:
        exhaust(publish(persons.entries[:400]), persons.material(), KEYS)
    assert caught.value.index == 400


def test_a_material_of_another_origin_or_signature_is_refused(persons: Persons) -> None:
    stranger = SigningKey.from_seed("other.example/log", bytes(32))
    note = stranger.sign(Checkpoint("other.example/log", 0, bytes(32)))
    keys = (*KEYS, VerifierKey.parse(stranger.verifier_key()))
    with pytest.raises(VerificationError, match="another log's"):
        exhaust(persons.publish(), persons.material(checkpoint=note), keys)
    with pytest.raises(VerificationError, match="in the material does not verify"):
        exhaust(persons.publish(), persons.material(checkpoint=note), KEYS)
    foreign = persons.material(checkpoint=note, origin="other.example/log")
    with pytest.raises(VerificationError, match="the earlier checkpoint is another log's"):
        exhaust(persons.publish(), foreign, keys)


def test_an_altered_or_missing_entry_of_anybody_ends_the_reading(persons: Persons) -> None:
    memory = persons.publish()
    raw = bytearray(memory.files["tile/entries/001"])
    raw[108 * 3 + 90] ^= 1
    altered = Memory({**memory.files, "tile/entries/001": bytes(raw)})
    with pytest.raises(VerificationError) as caught:
        exhaust(altered, persons.material(), KEYS)
    assert caught.value.index == 259
    gone = {path: data for path, data in memory.files.items() if path != "tile/entries/001"}
    with pytest.raises(VerificationError, match="missing") as caught:
        exhaust(Memory(gone), persons.material(), KEYS)
    assert caught.value.index == 256
    without = {path: data for path, data in memory.files.items() if path != "tile/0/001"}
    with pytest.raises(VerificationError, match="a tile is missing or cut"):
        exhaust(Memory(without), persons.material(checkpoint=sign(persons.entries[:300])), KEYS)


def test_without_a_checkpoint_there_is_no_verdict(persons: Persons) -> None:
    with pytest.raises(SourceError, match="there is no checkpoint"):
        exhaust(Memory({}), persons.material(), KEYS)


def test_a_material_made_of_an_empty_log_holds_nothing(persons: Persons) -> None:
    empty = persons.material(checkpoint=sign([]))
    own = dataclasses.replace(empty.streams[0], entries=())
    read = exhaust(persons.publish(), dataclasses.replace(empty, streams=(own,)), KEYS)
    assert read.last_time is None
    assert len(read.completeness.streams[0].newer) == 120


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def website(persons: Persons, tmp_path: Path) -> Iterator[str]:
    root = persons.publish().write_to(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_it_reads_a_website_too(persons: Persons, website: str) -> None:
    assert exhaust(Website(website), persons.material(), KEYS).completeness.complete
    assert SIGNER.name == ORIGIN
