"""Trust policies (FORMAT 8), against a naive reading of c2sp.org/tlog-policy."""

import json
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import Checkpoint
from access_log.errors import FormatError, VerificationError
from access_log.note import Signature
from access_log.policy import MAX_NAMED, MAX_POLICY, Policy, open_under_policy
from access_log.signing_keys import CosigningKey, SigningKey, sign_note
from access_log.verifier_keys import ED25519_COSIGNATURE, ML_DSA_44, VerifierKey
from tests.access_log.simulator import ORIGIN, SIGNER

CHECKPOINT = Checkpoint(ORIGIN, 1204, bytes(range(32)))
LATER = CosigningKey.from_seed(ORIGIN, ML_DSA_44, bytes(32))
TIME = 1_790_000_000


def witness(number: int, kind: int = ED25519_COSIGNATURE) -> CosigningKey:
    return CosigningKey.from_seed(f"w{number}.example", kind, bytes([number]) * 32)


WITNESSES = [witness(number) for number in range(1, 6)] + [witness(6, ML_DSA_44)]
NAMES = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
DEFINED = f"log {SIGNER.key}\n" + "".join(
    f"witness {name} {key.key}\n" for name, key in zip(NAMES, WITNESSES, strict=True)
)
DOCUMENTS = json.loads((Path(__file__).parents[1] / "vectors" / "notes" / "c2sp.json").read_text())
VERIFIER_KEYS = [str(SIGNER.key), *(str(one.key) for one in WITNESSES)]
EXAMPLE = reduce(lambda text, key: text.replace("<vkey>", key, 1), VERIFIER_KEYS, DOCUMENTS["tlog-policy"])
"""The example of c2sp.org/tlog-policy, with keys."""


def note(*cosigners: CosigningKey) -> str:
    signed = sign_note(CHECKPOINT, [SIGNER, LATER], TIME)
    return signed + "".join(key.line(CHECKPOINT, TIME) for key in cosigners)


def by(*keys: SigningKey | CosigningKey) -> list[Signature]:
    return [Signature(key.key, TIME) for key in keys]


@given(st.sets(st.sampled_from(range(6))))
def test_the_example_of_the_document_means_what_it_says(chosen: set[int]) -> None:
    policy = Policy.parse(EXAMPLE)
    cosigners = [WITNESSES[number] for number in sorted(chosen)]
    meant = len(chosen & {0, 1, 2}) >= 2 and len(chosen & {3, 4, 5}) >= 1
    assert (policy.shortfall(ORIGIN, by(SIGNER, *cosigners)) is None) == meant
    if meant:
        assert open_under_policy(note(*cosigners), policy)[0] == CHECKPOINT
    else:
        with pytest.raises(
            VerificationError, match="does not satisfy the policy: the quorum X-and-Y needs 2 of 2"
        ):
            open_under_policy(note(*cosigners), policy)


@given(st.data())
def test_any_tree_of_groups_agrees_with_counting(data: st.DataObject) -> None:
    """Groups over witnesses and groups, each name in one group at most, as the document defines them."""
    free, lines = list(NAMES), DEFINED
    members_of: dict[str, tuple[int, list[str]]] = {}
    for number in range(data.draw(st.integers(0, 5))):
        if not free:
            break
        members = data.draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        threshold = data.draw(st.integers(1, len(members)))
        written = data.draw(
            st.sampled_from(
                [str(threshold)] + ["any"] * (threshold == 1) + ["all"] * (threshold == len(members))
            )
        )
        lines += f"group g{number} {written} {' '.join(members)}\n"
        members_of[f"g{number}"] = (threshold, members)
        free = [name for name in free if name not in members] + [f"g{number}"]
    quorum = data.draw(st.sampled_from([*NAMES, *members_of, "none"]))
    signed = data.draw(st.sets(st.sampled_from(NAMES)))

    def met(name: str) -> bool:
        if name in members_of:
            threshold, members = members_of[name]
            return sum(met(member) for member in members) >= threshold
        return name == "none" or name in signed

    policy = Policy.parse(lines + f"quorum {quorum}\n")
    cosigners = [key for name, key in zip(NAMES, WITNESSES, strict=True) if name in signed]
    assert (policy.shortfall(ORIGIN, by(SIGNER, *cosigners)) is None) == met(quorum)


def test_logs_are_alternatives() -> None:
    cases: list[list[SigningKey | CosigningKey]] = [[SIGNER], [LATER], [SIGNER, LATER]]
    for keys in cases:
        policy = Policy.parse("".join(f"log {key.key}\n" for key in keys) + "quorum none\n")
        assert open_under_policy(note(), policy)[0] == CHECKPOINT
        for key in keys:
            assert open_under_policy(sign_note(CHECKPOINT, [key], TIME), policy)[0] == CHECKPOINT
    other = SigningKey.from_seed(ORIGIN, bytes(32))
    with pytest.raises(VerificationError, match="no signature is by a key that was given"):
        open_under_policy(note(), Policy.parse(f"log {other.key}\nquorum none\n"))


def test_the_log_must_sign_its_own_origin() -> None:
    other = SigningKey.from_seed("other.example/log", bytes(32))
    policy = Policy.parse(f"log {other.key}\nquorum none\n")
    assert "no log of the policy signed it as vault.example" in str(policy.shortfall(ORIGIN, by(other)))


def test_a_witness_that_bears_the_logs_name_is_not_the_log() -> None:
    namesake = CosigningKey.from_seed(ORIGIN, ML_DSA_44, bytes([9]) * 32)
    policy = Policy.parse(f"log {SIGNER.key}\nwitness w {namesake.key}\nquorum w\n")
    text = CHECKPOINT.text()
    with pytest.raises(VerificationError, match="signature of a log the policy accepts"):
        open_under_policy(f"{text}\n{namesake.line(CHECKPOINT, TIME)}", policy)
    assert open_under_policy(note(namesake), policy)[0] == CHECKPOINT


def test_a_policy_without_logs_takes_the_callers() -> None:
    policy = Policy.parse("quorum none")
    assert open_under_policy(note(), policy, [SIGNER.key])[0] == CHECKPOINT
    with pytest.raises(FormatError, match="names no log"):
        open_under_policy(note(), policy)
    with pytest.raises(VerificationError):
        open_under_policy(note(), policy, [SigningKey.from_seed(ORIGIN, bytes(32)).key])


def test_a_single_witness_can_be_the_quorum() -> None:
    policy = Policy.parse(DEFINED + "quorum Y3")
    assert len(open_under_policy(note(WITNESSES[5]), policy)[1]) == 2
    with pytest.raises(VerificationError, match="the witness Y3 has not cosigned it"):
        open_under_policy(note(WITNESSES[0]), policy)


def test_a_known_witness_that_fails_rejects_the_checkpoint_even_where_it_is_not_needed() -> None:
    policy = Policy.parse(DEFINED + "quorum none")
    wrong = WITNESSES[0].line(Checkpoint(ORIGIN, 3, bytes(32)), TIME)
    with pytest.raises(VerificationError, match="was altered"):
        open_under_policy(note() + wrong, policy)


def test_blanks_comments_and_urls_are_read() -> None:
    policy = Policy.parse(
        f"# ours\n\n \t \n\tlog  {SIGNER.key}\thttps://vault.example/log \n  # a witness\n"
        f"witness\tW\u00e4chter {WITNESSES[0].key} https://w1.example\nquorum W\u00e4chter"
    )
    assert policy.logs[0].url == "https://vault.example/log"
    (only,) = policy.witnesses.values()
    assert (only.name, only.url) == ("W\u00e4chter".encode(), "https://w1.example")
    assert policy.log_keys == (SIGNER.key,)
    assert policy.witness_keys == (WITNESSES[0].key,)


def test_names_are_octets() -> None:
    policy = Policy.parse(
        f"log {SIGNER.key}\nwitness \u212a {WITNESSES[0].key}\n".encode() + b"quorum \xe2\x84\xaa"
    )
    assert policy.quorum == b"\xe2\x84\xaa"
    with pytest.raises(FormatError, match="line 2: no line before it defines K"):
        Policy.parse(f"witness \u212a {WITNESSES[0].key}\nquorum K\n")
    raw = b"witness \xff\xfe " + str(WITNESSES[0].key).encode() + b"\nquorum \xff\xfe\n"
    assert Policy.parse(raw).quorum == b"\xff\xfe"


def key(cosigner: CosigningKey) -> VerifierKey:
    return cosigner.key


W1, W2 = f"witness one {key(WITNESSES[0])}", f"witness two {key(WITNESSES[1])}"


@pytest.mark.parametrize(
    ("lines", "number", "why"),
    [
        (["quorum one"], 1, "no line before it defines one"),
        ([W1, "quorum one", "quorum one"], 3, "a quorum line already"),
        ([W1, "quorum one two"], 2, "followed by one name"),
        ([W1, "quorum"], 2, "followed by one name"),
        ([W1, "quorum two", W2], 2, "no line before it defines two"),
        ([W1, "group g any one none", "quorum g"], 2, "defines none"),
        ([W1, W1.replace("one", "again"), "quorum one"], 2, "public key is listed already"),
        ([W1, W2.replace("two", "one"), "quorum one"], 2, "one is defined already"),
        ([W1, "group one any one", "quorum one"], 2, "one is defined already"),
        ([W1, "group none any one", "quorum one"], 2, "reserved"),
        ([W1.replace("one", "none"), "quorum none"], 1, "reserved"),
        ([W1, W2, "group g any one one", "quorum g"], 3, "one is a member already"),
        ([W1, W2, "group g any one", "group h all one two", "quorum h"], 4, "one is a member already"),
        ([W1, "group g any", "quorum g"], 2, "followed by a name, 'any', 'all'"),
        ([W1, "group g 0 one", "quorum g"], 2, "between 1 and"),
        ([W1, "group g 2 one", "quorum g"], 2, "between 1 and"),
        ([W1, "group g 01 one", "quorum g"], 2, "between 1 and"),
        ([W1, "group g +1 one", "quorum g"], 2, "decimal"),
        ([W1, "group g \u0661 one", "quorum g"], 2, "decimal"),
        ([W1, "group g 99999999999999999999 one", "quorum g"], 2, "decimal"),
        ([W1, "group g one one", "quorum g"], 2, "decimal"),
        ([W1, "group g any g", "quorum g"], 2, "no line before it defines g"),
        ([f"log {key(WITNESSES[0])}", "quorum none"], 1, "0x01 or 0x06, not 0x04"),
        ([f"witness one {SIGNER.key}", "quorum none"], 1, "0x04 or 0x06, not 0x01"),
        ([f"log {SIGNER.key}", f"log {SIGNER.key} https://a.example", "quorum none"], 2, "listed already"),
        ([f"log {SIGNER.key} https://a.example more", "quorum none"], 1, "verifier key and perhaps a URL"),
        (["log", "quorum none"], 1, "verifier key and perhaps a URL"),
        (["log nonsense", "quorum none"], 1, "form name\\+id\\+key"),
        ([f"log {str(SIGNER.key)[:-4]}", "quorum none"], 1, "32 bytes"),
        (["Log x", "quorum none"], 1, "Log begins no line"),
        (["quorum none\r"], 1, "control character"),
        (["# \x00", "quorum none"], 1, "control character"),
        (["# \x7f", "quorum none"], 1, "control character"),
        (["\u00a0quorum none"], 1, "begins no line"),
        (["\x0bquorum none"], 1, "control character"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(lines: Sequence[str], number: int, why: str) -> None:
    with pytest.raises(FormatError, match=f"policy line {number}: .*{why}"):
        Policy.parse("\n".join(lines) + "\n")


def test_octets_that_are_no_key_or_url_are_named() -> None:
    with pytest.raises(FormatError, match="policy line 1: the verifier key is not UTF-8"):
        Policy.parse(b"log \xff+00000000+AQ==\nquorum none\n")
    with pytest.raises(FormatError, match="policy line 1: the URL is not UTF-8"):
        Policy.parse(f"log {SIGNER.key} ".encode() + b"\xff\nquorum none\n")


def test_a_policy_has_exactly_one_quorum() -> None:
    for text in ("", "# nothing\n", f"log {SIGNER.key}\n"):
        with pytest.raises(FormatError, match="no quorum line: add one"):
            Policy.parse(text)


def test_as_many_as_c2sp_recommends_are_read_and_endless_ones_refused() -> None:
    def many(count: int) -> str:
        lines = [f"witness w{number} {witness(number).key}" for number in range(count)]
        lines += [f"group g{number} any w{number}" for number in range(count)]
        lines += [f"log {SigningKey.from_seed(ORIGIN, bytes([number]) * 32).key}" for number in range(count)]
        return "\n".join([*lines, "quorum g0\n"])

    policy = Policy.parse(many(MAX_NAMED))
    assert len(policy.logs) == len(policy.witnesses) == len(policy.groups) == MAX_NAMED >= 32
    with pytest.raises(FormatError, match=f"policy line {MAX_NAMED + 1}: .*at most {MAX_NAMED} witnesses"):
        Policy.parse(many(MAX_NAMED + 1))
    with pytest.raises(FormatError, match="bytes"):
        Policy.parse("#" * MAX_POLICY + "\nquorum none\n")


def test_thirty_two_post_quantum_witnesses_fit() -> None:
    lines = [f"witness w{number} {witness(number, ML_DSA_44).key}" for number in range(MAX_NAMED)]
    names = " ".join(f"w{number}" for number in range(MAX_NAMED))
    text = "\n".join([f"log {LATER.key}", *lines, f"group all-of-them all {names}", "quorum all-of-them"])
    assert len(text) < MAX_POLICY
    policy = Policy.parse(text)
    cosigners = [witness(number, ML_DSA_44) for number in range(32)]
    assert "has 32" in str(policy.shortfall(ORIGIN, by(LATER, *cosigners)))


@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                b"log",
                b"witness",
                b"group",
                b"quorum",
                b"any",
                b"all",
                b"1",
                b"none",
                b"\n",
                b"\t",
                b"#",
                b"x",
                b"+",
            ]
        )
    ).map(b" ".join)
)
def test_any_octets_are_a_policy_or_a_format_error(raw: bytes) -> None:
    try:
        Policy.parse(raw)
    except FormatError as error:
        message = str(error)
    else:
        message = "read"
    assert message.isprintable()
