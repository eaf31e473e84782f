"""Check a person's completeness by proofs of their labels, without reading the log (FORMAT 4.4, 4.7).

(a) for each month of each stream the log is asked for proofs of labels, from number 1 up to an absent one;
(b) each answer's root is in the log of roots, which its key and the auditors signed, and is of that month;
(c) each proof leads to that root: the label is at an index with a commitment, or it is absent;
(d) the published checkpoint is signed, and its tree begins with that of the material and those of the roots;
(e) each entry that is there is fetched and proven to stand at its index, with that label and commitment.

What no root covers yet is left out, and told.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from access_log import labels
from access_log.checkpoint import Checkpoint, VerifierKey
from access_log.completeness import Completeness, Sighting, judge
from access_log.contradiction import require_beginning
from access_log.encoding import from_base64
from access_log.entry import Entry
from access_log.errors import FormatError, SourceError, VerificationError
from access_log.exhaust import opened_checkpoint
from access_log.material import Material, MaterialStream, MonthKey
from access_log.merkle import consistency_proof, verify_consistency
from access_log.prefix import Place, Proof, verify_absence, verify_inclusion
from access_log.published import nodes_of, proven_entry
from access_log.roots.leaf import Kind, PrefixRoot, roots_origin
from access_log.roots.statement import verify_statement
from access_log.sources import Source
from access_log.verify import signed_checkpoint

AT_A_TIME: Final = 32
"""Labels asked for in one question."""
MAX_ANSWER: Final = 4 * 1024 * 1024
_PATH: Final = "labels"

Progress = Callable[[int, int], None]
"""Called with the number of months checked so far and the number there are."""


class Answering(Source, Protocol):
    """A published log that also answers questions."""

    def ask(self, path: str, question: bytes, limit: int) -> bytes | None:
        """Post JSON, fetch the answer; None where there is none yet (404)."""


@dataclass(frozen=True, slots=True)
class Auditors:
    """Whom the caller trusts for roots.

    Attributes:
        roots_keys: Of the log of roots.
        auditors: One of them must have cosigned; if none is named, the operator is believed.
    """

    roots_keys: Sequence[VerifierKey]
    auditors: Sequence[VerifierKey] = ()


@dataclass(frozen=True, slots=True)
class Proved:
    """What the proofs say of a person's streams.

    Attributes:
        published: The checkpoint of the published log.
        made_at: The checkpoint of the material.
        covered: Up to which entry the verdict holds: before it, roots cover everything.
        pending: How many entries of the material no root covers yet.
        completeness: The verdict about the entries covered.
    """

    published: Checkpoint
    made_at: Checkpoint
    covered: int
    pending: int
    completeness: Completeness


def _silent(_done: int, _of: int) -> None:
    pass


def prove(
    source: Answering,
    material: Material,
    keys: Sequence[VerifierKey],
    trusted: Auditors,
    *,
    progress: Progress = _silent,
) -> Proved:
    """Asks a log for proofs of all labels of a person.

    Args:
        source: Where the log is served.
        material: What the person was given.
        keys: The log's key, and any others the caller trusts.
        trusted: Keys of the log of roots and of auditors.
        progress: Told how far the asking is.

    Raises:
        VerificationError: An answer, a root or an entry does not verify.
        ContradictionError: The log is not that of the material: it was cut, forked or rewritten.
        FormatError: Something that was answered is malformed.
        SourceError: The log cannot be read, or has no root of these months yet.
    """
    given = opened_checkpoint(material, keys)
    asked = [_Asking(source, material.origin, trusted, stream) for stream in material.streams]
    of = sum(len(stream.months) for stream in material.streams)
    done = 0
    for asking in asked:
        for _ in asking.months():
            done += 1
            progress(done, of)
    # Read after the answers, so that it covers every root they showed.
    served = signed_checkpoint(source, keys)
    require_beginning(source, given, served)
    _require_roots_of(source, [root for each in asked for root in each.roots], served.checkpoint)
    covered = min([given.checkpoint.size, *(each.covered for each in asked)])
    if covered == 0:
        raise SourceError("no root covers an entry of these months yet: try later, or read the whole log")
    found = [each.sightings(served.checkpoint) for each in asked]
    last = Entry.decode(proven_entry(source, covered - 1, served.checkpoint))
    first = Entry.decode(proven_entry(source, 0, served.checkpoint))
    known, pending = _covered_part(material, covered)
    return Proved(
        served.checkpoint,
        given.checkpoint,
        covered,
        pending,
        judge(known, found, covered, last.time, first.time),
    )


@dataclass
class _Asking:
    """One stream: what was asked, and what was proved."""

    source: Answering
    origin: str
    trusted: Auditors
    stream: MaterialStream
    roots: list[PrefixRoot] = field(default_factory=list)
    places: list[tuple[int, int, bytes, Place]] = field(default_factory=list)
    covered: int = 2**63

    def months(self) -> Iterator[None]:
        """Asks about each month (a) to (c)."""
        end = 0
        for month in self.stream.months:
            root = self._month(month)
            if root is None:
                # Months end in order: from here on nothing is covered.
                self.covered = min(self.covered, end)
            else:
                end = root.size
                if root.kind is Kind.INTERIM:
                    self.covered = min(self.covered, root.size)
            yield

    def _month(self, month: MonthKey) -> PrefixRoot | None:
        first = 1
        while True:
            sought = [labels.label(month.key, seq) for seq in range(first, first + AT_A_TIME)]
            answer = self._ask(month.month, sought)
            if answer is None:
                return None
            root, proofs = answer
            absent = False
            for seq, (label, proof) in enumerate(zip(sought, proofs, strict=True), first):
                if isinstance(Proof.decode(proof).end, Place):
                    place = verify_inclusion(label, proof, root.prefix_root)
                    self.places.append((month.month, seq, label, place))
                else:
                    verify_absence(label, proof, root.prefix_root)
                    absent = True
            if absent:
                return root
            first += AT_A_TIME

    def _ask(self, month: int, sought: Sequence[bytes]) -> tuple[PrefixRoot, list[bytes]] | None:
        question = json.dumps({"month": month, "labels": [each.hex() for each in sought]}).encode()
        raw = self.source.ask(_PATH, question, MAX_ANSWER)
        if raw is None:
            return None
        statement, proofs = _answer(raw, len(sought))
        verified = verify_statement(statement, self.trusted.roots_keys, self.trusted.auditors)
        if verified.checkpoint.origin != roots_origin(self.origin):
            raise VerificationError("the root that was shown is in the log of roots of another log")
        if verified.root.month != month:
            raise VerificationError(f"the root that was shown for {month} is of another month")
        self.roots.append(verified.root)
        return verified.root, proofs

    def sightings(self, checkpoint: Checkpoint) -> list[Sighting]:
        """The entries that carry the labels, each proven where it stands (e)."""
        return [
            Sighting(month, seq, place.index, self._entry(label, place, checkpoint))
            for month, seq, label, place in self.places
        ]

    def _entry(self, label: bytes, place: Place, checkpoint: Checkpoint) -> bytes:
        raw = proven_entry(self.source, place.index, checkpoint)
        entry = Entry.decode(raw)
        if (entry.label, entry.commitment) != (label, place.commitment):
            raise VerificationError("the root says that it carries another label or commitment", place.index)
        return raw


def _answer(raw: bytes, number: int) -> tuple[str, list[bytes]]:
    """Reads what the log answered: a statement, and a proof for each label."""
    try:
        plain = json.loads(raw)
    except (ValueError, RecursionError):
        raise FormatError("the answer about labels is not JSON") from None
    if not isinstance(plain, dict) or not isinstance(plain.get("root"), str):
        raise FormatError("the answer about labels states no root")
    proofs = plain.get("proofs")
    if not isinstance(proofs, list) or len(proofs) != number:
        raise FormatError(f"the answer about labels does not have {number} proofs")
    if not all(isinstance(each, str) for each in proofs):
        raise FormatError("a proof of the answer about labels is not base64")
    return plain["root"], [from_base64(each, "a proof of a label") for each in proofs]


def _require_roots_of(source: Source, roots: Sequence[PrefixRoot], checkpoint: Checkpoint) -> None:
    """Requires that the roots are of this log: the trees they cover begin its tree (d)."""
    node = nodes_of(source, checkpoint.size)
    for size, log_root in {(root.size, root.log_root) for root in roots if root.size}:
        if size > checkpoint.size:
            raise VerificationError("a root covers more entries than the published log has", checkpoint.size)
        proof = consistency_proof(size, checkpoint.size, node) if size < checkpoint.size else ()
        try:
            verify_consistency(size, checkpoint.size, proof, log_root, checkpoint.root)
        except VerificationError:
            raise VerificationError(
                f"a root is of another log than the published one: their first {size} entries differ"
            ) from None


def _covered_part(material: Material, covered: int) -> tuple[Material, int]:
    """The material without the entries that no root covers yet, and their number."""
    pending = 0
    streams: list[MaterialStream] = []
    for stream in material.streams:
        entries = tuple(one for one in stream.entries if one.index < covered)
        pending += len(stream.entries) - len(entries)
        streams.append(replace(stream, entries=entries))
    return replace(material, streams=tuple(streams)), pending
