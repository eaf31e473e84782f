"""A person's completeness from proofs of labels, answered by a server that may lie."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from access_log import labels
from access_log.checkpoint import Checkpoint, VerifierKey
from access_log.encoding import to_base64
from access_log.entry import Entry
from access_log.errors import AccessLogError, FormatError, SourceError, VerificationError
from access_log.material import OpenedEntry
from access_log.merkle import Frontier, leaf_hash
from access_log.prefix import Place
from access_log.prefix_tree import PrefixTree
from access_log.proving import AT_A_TIME, Auditors, Proved, prove
from access_log.roots.leaf import Kind, PrefixRoot, roots_origin
from access_log.roots.statement import write_statement
from access_log.signing_keys import CosigningKey, SigningKey
from access_log.verifier_keys import ED25519_COSIGNATURE
from tests.access_log.persons import ANN, BOB, Persons, at
from tests.access_log.simulator import KEYS, ORIGIN, Memory, naive_inclusion, naive_root

ROOTS = SigningKey.from_seed(roots_origin(ORIGIN), b"r" * 32)
AUDITOR = CosigningKey.from_seed("inspectorate.test/auditor", ED25519_COSIGNATURE, b"a" * 32)
STRANGER = CosigningKey.from_seed("stranger.test/auditor", ED25519_COSIGNATURE, b"s" * 32)
TRUSTED = Auditors([VerifierKey.parse(ROOTS.verifier_key())], [AUDITOR.key])


@dataclasses.dataclass
class Server:
    """Answers about labels as FORMAT 4.4 says, from the roots of every month up to an entry."""

    memory: Memory
    persons: Persons
    upto: int
    cosigner: CosigningKey = AUDITOR
    signer: SigningKey = ROOTS
    absent: frozenset[int] = frozenset()
    change: Callable[[dict[str, Any]], object] | None = None

    def __post_init__(self) -> None:
        self.trees: dict[int, PrefixTree] = {}
        spans: dict[int, list[int]] = {}
        for index, raw in enumerate(self.persons.entries[: self.upto]):
            entry = Entry.decode(raw)
            month = labels.month_of(entry.time)
            spans.setdefault(month, []).append(index)
            tree = self.trees.setdefault(month, PrefixTree())
            if index not in self.absent:
                tree.add(entry.label, Place(index, entry.commitment).encode())
        self.roots: list[PrefixRoot] = []
        end = 0
        for month in labels.months_between(min(spans), max(spans)):
            first, end = end, max(spans.get(month, [end - 1])) + 1
            leaves = [leaf_hash(raw) for raw in self.persons.entries[:end]]
            kind = Kind.INTERIM if month == max(spans) else Kind.FINAL
            tree = self.trees.setdefault(month, PrefixTree())
            self.roots.append(PrefixRoot(kind, month, first, end, naive_root(leaves), tree.root()))

    def read(self, path: str, limit: int) -> bytes | None:
        return self.memory.read(path, limit)

    def ask(self, path: str, question: bytes, limit: int) -> bytes | None:
        assert path == "labels"
        asked = json.loads(question)
        at = next((n for n, root in enumerate(self.roots) if root.month == asked["month"]), None)
        if at is None:
            return None
        hashes = [leaf_hash(root.encode()) for root in self.roots]
        checkpoint = Checkpoint(self.signer.name, len(hashes), Frontier.empty().extend(hashes).root())
        note = self.signer.sign(checkpoint) + self.cosigner.line(checkpoint, 1_790_000_000)
        statement = write_statement(self.roots[at].encode(), at, naive_inclusion(at, hashes), note)
        tree = self.trees[asked["month"]]
        proofs = [to_base64(tree.prove(bytes.fromhex(each)).encode()) for each in asked["labels"]]
        answer = {"root": statement, "proofs": proofs}
        if self.change is not None:
            self.change(answer)
        return json.dumps(answer).encode()[: limit + 1]


def grown(own: int = 3) -> Persons:
    """Ann's entries in June and August, none in July, among Bob's."""
    persons = Persons()
    for month in (6, 7, 8):
        for index in range(own * 2):
            persons.add(ANN if index % 2 == 0 and month != 7 else BOB, at(2026, month))
    return persons


def asked(persons: Persons, *, trusted: Auditors = TRUSTED, **server: Any) -> Proved:
    upto = server.pop("upto", len(persons.entries))
    material = server.pop("material", None) or persons.material()
    return prove(Server(persons.publish(), persons, upto, **server), material, KEYS, trusted)


def test_a_complete_person() -> None:
    proved = asked(grown())
    assert proved.completeness.complete
    assert proved.completeness.streams[0].months == {202606: 3, 202607: 0, 202608: 3}
    assert (proved.covered, proved.pending) == (18, 0)


def test_more_labels_than_one_question_holds() -> None:
    proved = asked(grown(AT_A_TIME + 3))
    assert proved.completeness.complete
    assert proved.completeness.streams[0].opened == 2 * (AT_A_TIME + 3)


def test_what_no_root_covers_yet_is_told_and_not_missed() -> None:
    proved = asked(grown(), upto=15)
    assert proved.completeness.complete
    assert (proved.covered, proved.pending) == (15, 1)
    proved = asked(grown(), upto=12)
    assert proved.completeness.complete
    assert (proved.covered, proved.pending) == (12, 3)
    persons = Persons()
    persons.add(BOB, at(2026, 1))
    persons.add(ANN, at(2026, 6))
    with pytest.raises(SourceError, match="no root covers"):
        asked(persons, upto=1)


def test_an_entry_that_is_left_out_of_the_material_is_named() -> None:
    persons = grown()
    material = persons.material()
    (own,) = material.streams
    less = dataclasses.replace(own, entries=own.entries[:1] + own.entries[2:])
    proved = asked(persons, material=dataclasses.replace(material, streams=(less,)))
    ((gap),) = proved.completeness.gaps
    assert (gap.month, gap.seq, gap.index) == (202606, 2, 2)


def test_an_opening_that_is_withheld_is_named() -> None:
    persons = grown()
    material = persons.material()
    (own,) = material.streams
    entries = (OpenedEntry(0, None), *own.entries[1:])
    changed = dataclasses.replace(material, streams=(dataclasses.replace(own, entries=entries),))
    assert [gap.index for gap in asked(persons, material=changed).completeness.gaps] == [0]


def test_a_number_that_is_skipped_is_named() -> None:
    persons = grown()
    persons.skip(ANN)
    persons.add(ANN, at(2026, 8))
    ((gap),) = asked(persons).completeness.gaps
    assert (gap.month, gap.seq, gap.index) == (202608, 4, None)


def test_a_label_left_out_of_the_tree_is_missed_by_the_opening_that_was_given() -> None:
    """An auditor would have found the root wrong; the person sees it even so."""
    gaps = asked(grown(), absent=frozenset({2, 16})).completeness.gaps
    assert {gap.index for gap in gaps} >= {2, 16}


def test_roots_need_an_auditor_who_was_named() -> None:
    with pytest.raises(VerificationError, match="no auditor"):
        asked(grown(), cosigner=STRANGER)
    believed = Auditors(TRUSTED.roots_keys)
    assert asked(grown(), cosigner=STRANGER, trusted=believed).completeness.complete


def test_roots_of_another_log_are_refused() -> None:
    other = SigningKey.from_seed("other.example/log/roots", b"o" * 32)
    trusted = Auditors([VerifierKey.parse(other.verifier_key())])
    with pytest.raises(VerificationError, match="another log"):
        asked(grown(), signer=other, trusted=trusted)
    with pytest.raises(AccessLogError):
        asked(grown(), signer=other)


def test_roots_of_another_history_are_refused() -> None:
    persons, other = grown(), grown()
    server = Server(persons.publish(), other, 18)
    with pytest.raises(VerificationError, match=r"is of another log than the published one|absent|label"):
        prove(server, persons.material(), KEYS, TRUSTED)


def test_a_root_beyond_the_published_log_is_refused() -> None:
    persons = grown()
    material, memory = persons.material(), persons.publish()
    persons.add(BOB, at(2026, 8))
    with pytest.raises(VerificationError, match="more entries than the published log"):
        prove(Server(memory, persons, 19), material, KEYS, TRUSTED)


def _swap(answer: dict[str, Any]) -> None:
    answer["proofs"][:2] = answer["proofs"][1::-1]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda answer: answer.pop("root"), FormatError),
        (lambda answer: answer.update(root=5), FormatError),
        (lambda answer: answer.update(root="nonsense"), FormatError),
        (lambda answer: answer.update(proofs="x"), FormatError),
        (lambda answer: answer["proofs"].pop(), FormatError),
        (lambda answer: answer["proofs"].__setitem__(0, 1), FormatError),
        (lambda answer: answer["proofs"].__setitem__(0, "%%"), FormatError),
        (lambda answer: answer["proofs"].__setitem__(0, "AAAA"), FormatError),
        (lambda answer: answer["proofs"].__setitem__(0, answer["proofs"][-1]), VerificationError),
        (_swap, VerificationError),
    ],
)
def test_an_answer_that_does_not_hold_is_refused(
    change: Callable[[dict[str, Any]], object], kind: type[AccessLogError]
) -> None:
    with pytest.raises(kind):
        asked(grown(), change=change)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"5", b"[" * 50_000])
def test_an_answer_that_is_none_is_refused(raw: bytes) -> None:
    persons = grown()

    class Babbling(Server):
        def ask(self, path: str, question: bytes, limit: int) -> bytes | None:
            return raw

    with pytest.raises(FormatError):
        prove(Babbling(persons.publish(), persons, 18), persons.material(), KEYS, TRUSTED)


def test_the_statement_of_another_month_is_refused() -> None:
    persons = grown()

    class Confusing(Server):
        def ask(self, path: str, question: bytes, limit: int) -> bytes | None:
            return super().ask(path, question.replace(b"202606", b"202608"), limit)

    with pytest.raises(VerificationError, match="is of another month"):
        prove(Confusing(persons.publish(), persons, 18), persons.material(), KEYS, TRUSTED)


def test_an_entry_that_was_altered_is_refused() -> None:
    persons = grown()
    memory = persons.publish()
    (bundle,) = [path for path in memory.files if path.startswith("tile/entries/")]
    raw = bytearray(memory.files[bundle])
    raw[108 * 2 + 90] ^= 1
    memory.files[bundle] = bytes(raw)
    with pytest.raises(VerificationError) as caught:
        prove(Server(memory, persons, 18), persons.material(), KEYS, TRUSTED)
    assert caught.value.index == 2
