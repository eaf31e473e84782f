"""The auditor: an honest log of roots passes, and whatever else it says is found, with the label's entry."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import SigningKey
from access_log.contradiction import ContradictionError
from access_log.errors import FormatError, SourceError, VerificationError
from access_log.merkle import EMPTY_ROOT, Frontier, leaf_hash
from access_log.prefix import MISSING, Place
from access_log.roots.audit import RootsAudit, Seen, audit_roots
from access_log.roots.leaf import Kind, PrefixRoot
from access_log.roots.state import read_state, write_state
from tests.access_log.roots.published import (
    LOG_KEYS,
    ROOTS_KEYS,
    Labels,
    Operator,
    entries_of,
    publish_roots,
)
from tests.access_log.simulator import ORIGIN, Memory, publish

ENTRIES = entries_of([("2026-07-10", 300), ("2026-08-02", 130), ("2026-11-01", 200), ("2026-11-20", 70)])


def audit(log: Memory, roots: Memory, before: Seen | None = None) -> RootsAudit:
    return audit_roots(log, roots, log_keys=LOG_KEYS, roots_keys=ROOTS_KEYS, before=before)


def told(operator: Operator) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        audit(*operator.publish())
    return caught.value


def test_an_honest_log_of_roots_passes() -> None:
    operator = Operator(ENTRIES).say_all()
    found = audit(*operator.publish())
    finals = [(root.month, root.first, root.size) for root in operator.roots if root.kind is Kind.FINAL]
    assert finals == [(202607, 0, 300), (202608, 300, 430), (202609, 430, 430), (202610, 430, 430)]
    assert (found.months, found.covered, found.begun_at) == (4, 700, 0)
    assert found.seen.milestone.index == 430
    assert found.seen.milestone.roots == len([root for root in operator.roots if root.month < 202611])


def test_empty_logs_pass() -> None:
    found = audit(publish([]), publish_roots([]))
    assert (found.months, found.covered) == (0, 0)
    assert found.seen.roots.checkpoint.root == EMPTY_ROOT


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=8),
    st.integers(1, 60),
    st.data(),
)
def test_any_honest_log_passes_and_any_altered_root_is_found(
    counts: list[int], every: int, data: st.DataObject
) -> None:
    months = [(f"2026-{month:02}-15", count) for month, count in enumerate(counts, 3)]
    entries = entries_of(months)
    if not entries:
        return
    operator = Operator(entries).say_all(every)
    log, roots = operator.publish()
    assert audit(log, roots).covered == (operator.roots[-1].size if operator.roots else 0)
    if not operator.roots:
        return
    raws = [bytearray(root.encode()) for root in operator.roots]
    number, bit = data.draw(st.integers(0, len(raws) - 1)), data.draw(st.integers(0, 86 * 8 - 1))
    raws[number][bit // 8] ^= 1 << bit % 8
    with pytest.raises(VerificationError):
        audit(log, publish_roots([bytes(raw) for raw in raws]))


# ── Tampered roots ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("victim", [0, 120, 299, 300, 429, 430, 699])
def test_a_label_that_is_left_out_is_named(victim: int) -> None:
    label = ENTRIES[victim][42:74]

    def omit(_number: int, labels: Labels) -> None:
        labels.pop(label, None)

    error = told(Operator(ENTRIES, tamper=omit).say_all())
    assert error.index == victim
    assert "leaves out the label" in error.reason
    first = next(
        number
        for number, root in enumerate(Operator(ENTRIES).say_all().roots)
        if root.first <= victim < root.size
    )
    assert f"root {first} (" in error.reason


def test_a_label_left_out_of_a_final_root_alone() -> None:
    def omit(number: int, labels: Labels) -> None:
        if number == 6:
            del labels[ENTRIES[299][42:74]]

    operator = Operator(ENTRIES, tamper=omit).say_all(49)
    assert (operator.roots[6].kind, operator.roots[6].size) == (Kind.FINAL, 300)
    error = told(operator)
    assert error.index == 299
    assert "root 6 (final, 202607, size 300) leaves out" in error.reason


def test_a_wrong_index_is_named() -> None:
    entry = ENTRIES[77]

    def move(_number: int, labels: Labels) -> None:
        if entry[42:74] in labels:
            labels[entry[42:74]] = Place(78, entry[74:106]).encode()

    error = told(Operator(ENTRIES, tamper=move).say_all())
    assert error.index == 77
    assert "the index 78" in error.reason


def test_a_label_that_is_added_is_found() -> None:
    def add_next(number: int, labels: Labels) -> None:
        if number == 2:
            labels[ENTRIES[150][42:74]] = Place(150, ENTRIES[150][74:106]).encode()

    error = told(Operator(ENTRIES, tamper=add_next).say_all())
    assert error.index == 150
    assert "which it does not cover" in error.reason

    def add_stranger(number: int, labels: Labels) -> None:
        if number == 2:
            labels[b"x" * 32] = Place(149, bytes(32)).encode()

    error = told(Operator(ENTRIES, tamper=add_stranger).say_all())
    assert error.index is None
    assert "root 2 (interim, 202607, size 150) is not that of the labels" in error.reason
    assert "Up to entry 100 the roots are right" in error.reason


def altered(number: int, **changes: object) -> Operator:
    operator = Operator(ENTRIES).say_all()
    operator.roots[number] = replace(operator.roots[number], **changes)  # type: ignore[arg-type]
    return operator


def test_the_order_of_roots_is_checked() -> None:
    whole = Operator(ENTRIES).say_all().roots
    final = next(number for number, root in enumerate(whole) if root.kind is Kind.FINAL)
    for roots, words in (
        (whole[:final] + whole[final + 1 :], "no final root yet"),
        ([*whole[: final + 1], whole[final], *whole[final + 1 :]], "comes that of 202608"),
        (whole[1:], None),
        ([*whole[:3], whole[2], *whole[3:]], "covers no more"),
        ([replace(whole[0], first=1), *whole[1:]], "does not begin with entry 0"),
    ):
        operator = Operator(ENTRIES, roots=list(roots))
        if words is None:
            assert audit(*operator.publish()).covered == 700  # An interim root may be missing.
        else:
            assert words in told(operator).reason


def test_what_a_root_says_of_the_log_is_checked() -> None:
    assert "another root of the log" in told(altered(1, log_root=bytes(32))).reason
    assert "is not that of the labels" in told(altered(1, prefix_root=MISSING)).reason


def test_a_root_that_covers_an_entry_of_another_month() -> None:
    late = Operator(ENTRIES)
    late.say(Kind.INTERIM, 202607, 0, 301)
    error = told(late)
    assert (error.index, "of 202608" in error.reason) == (300, True)


def test_a_final_root_waits_for_the_month_to_end() -> None:
    early = Operator(ENTRIES)
    early.say(Kind.FINAL, 202607, 0, 299)
    error = told(early)
    assert error.index == 299
    assert "is of its month" in error.reason
    last = Operator(ENTRIES[:300])
    last.say(Kind.FINAL, 202607, 0, 300)
    assert "no entry of a later month" in told(last).reason


def test_a_root_cannot_cover_more_than_the_log() -> None:
    operator = Operator(ENTRIES).say_all()
    log = publish(ENTRIES[:600])
    with pytest.raises(VerificationError, match="the log has 600"):
        audit(log, operator.publish()[1])


def test_a_month_that_repeats_a_label() -> None:
    twice = entries_of([("2026-07-10", 20)], repeat=12)
    log_root = Frontier.empty().extend([leaf_hash(entry) for entry in twice]).root()
    root = PrefixRoot(Kind.INTERIM, 202607, 0, 20, log_root, MISSING)
    with pytest.raises(VerificationError, match="repeats the label") as caught:
        audit(publish(twice), publish_roots([root.encode()]))
    assert caught.value.index == 12


# ── What was published around them ───────────────────────────────────────────────────────────────


def test_files_that_are_missing_or_altered() -> None:
    log, roots = Operator(ENTRIES).say_all().publish()
    bundle = next(path for path in roots.files if "entries" in path)
    for path, content, words in (
        (bundle, None, "missing or cut"),
        (bundle, roots.files[bundle][:-1], "missing or cut"),
        (bundle, roots.files[bundle][:-1] + b"\x00", "signed root of their log"),
        (bundle, roots.files[bundle][:2] + b"\x07" + roots.files[bundle][3:], "root 0 is malformed"),
    ):
        files = dict(roots.files)
        if content is None:
            del files[path]
        else:
            files[path] = content
        with pytest.raises(VerificationError, match=words):
            audit(log, Memory(files))
    files = dict(roots.files)
    del files["checkpoint"]
    with pytest.raises(SourceError):
        audit(log, Memory(files))
    files["checkpoint"] = b"garbage"
    with pytest.raises(FormatError):
        audit(log, Memory(files))


def test_an_altered_log_is_named_by_its_own_audit() -> None:
    log, roots = Operator(ENTRIES).say_all().publish()
    path = "tile/entries/001"
    log.files[path] = log.files[path][:5000] + b"\xff" + log.files[path][5001:]
    with pytest.raises(VerificationError) as caught:
        audit(log, roots)
    assert caught.value.index == 256 + 5000 // 108


def test_the_log_of_roots_of_another_log() -> None:
    stranger = SigningKey.from_seed("other.example/log/roots", b"r" * 32)
    log, _ = Operator(ENTRIES).say_all().publish()
    roots = publish_roots([], stranger)
    with pytest.raises(VerificationError, match="another log"):
        audit_roots(log, roots, log_keys=LOG_KEYS, roots_keys=[stranger.key])


# ── Going on ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", [0, 1, 256, 300, 430, 431, 600, 700])
def test_a_later_audit_goes_on(first: int) -> None:
    before = (
        audit(*Operator(ENTRIES[:first]).say_all().publish()).seen
        if first
        else audit(publish([]), publish_roots([])).seen
    )
    before = read_state(write_state(before), LOG_KEYS, ROOTS_KEYS)
    operator = Operator(ENTRIES).say_all()
    found = audit(*operator.publish(), before)
    assert found.begun_at == before.milestone.index
    assert found.covered == 700
    assert found.seen == audit(*operator.publish()).seen

    label = ENTRIES[-1][42:74]

    def omit(_number: int, labels: Labels) -> None:
        labels.pop(label, None)

    with pytest.raises(VerificationError) as caught:
        audit(*Operator(ENTRIES, tamper=omit).say_all().publish(), before)
    if first < 700:
        assert caught.value.index == 699


def test_an_interrupted_audit_goes_on_from_the_month_it_reached() -> None:
    log, roots = Operator(ENTRIES).say_all().publish()
    reached: list[Seen] = []
    whole = audit_roots(log, roots, log_keys=LOG_KEYS, roots_keys=ROOTS_KEYS, reached=reached.append)
    assert [seen.milestone.index for seen in reached] == [430]  # Once a bundle.
    for seen in reached:
        assert audit(log, roots, read_state(write_state(seen), LOG_KEYS, ROOTS_KEYS)).seen == whole.seen


def test_another_history_is_refused_with_evidence() -> None:
    before = audit(*Operator(ENTRIES).say_all().publish()).seen
    for log, roots in (
        Operator(ENTRIES).say_all(51).publish(),  # Other interim roots: another log of roots.
        Operator(ENTRIES[:400]).say_all().publish(),
        (Operator(ENTRIES).say_all().publish()[0], publish_roots([])),
    ):
        with pytest.raises(ContradictionError) as caught:
            audit(log, roots, before)
        assert len(caught.value.evidence) == 2


def test_state_files_that_were_changed_are_refused() -> None:
    text = write_state(audit(*Operator(ENTRIES).say_all().publish()).seen)
    for changed in (
        "",
        "[]",
        "{}",
        text[:-1],
        text.replace('"index": 430', '"index": 431'),
        text.replace('"index": 430', '"index": -1'),
        text.replace('"index": 430', '"index": true'),
        text.replace(ORIGIN, "other.example/log"),
        text.replace("state v1", "state v2"),
    ):
        if changed != text:
            with pytest.raises(FormatError):
                read_state(changed, LOG_KEYS, ROOTS_KEYS)
