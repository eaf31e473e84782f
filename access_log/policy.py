"""Trust policies: whose signatures make a checkpoint good enough (FORMAT 8).

Source: c2sp.org/tlog-policy. Parsing raises; that a checkpoint falls short of a policy is a value.

    log vault.example/log/2026+697ea6bb+AQOhB7/z…
    witness one witness.example/w1+…
    witness two other.example/w2+…
    group both all one two
    quorum both
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from access_log.checkpoint import Checkpoint, open_signed_note
from access_log.errors import FormatError, VerificationError
from access_log.note import Signature
from access_log.verifier_keys import COSIGNATURE_TYPES, LOG_TYPES, VerifierKey

MAX_POLICY: Final = 256 * 1024
"""The longest policy that is read, in bytes."""
MAX_NAMED: Final = 64
"""The most logs, witnesses and groups that are read, each; C2SP asks for 32 at least."""
MAX_MEMBERS: Final = 128
"""The most members of a group: every witness and every group could be one."""

_NONE: Final = b"none"
_BLANKS: Final = b" \t"
_DELETE: Final = 0x7F


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log the policy accepts.

    Attributes:
        key: Its verifier key, whose name is its origin.
        url: Where it is served, or None.
    """

    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness the policy knows.

    Attributes:
        name: Its name within the policy, as octets.
        key: Its verifier key.
        url: Its submission prefix (c2sp.org/tlog-witness), or None.
    """

    name: bytes
    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Members, of which at least `threshold` must have witnessed for the group to have."""

    name: bytes
    threshold: int
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as it was read; `parse` has made sure that every name in it is defined.

    Attributes:
        logs: Alternatives: the signature of any one of them is enough. None at all leaves the choice of the
            log's keys to the caller.
        witnesses: By their names in the policy.
        groups: By their names in the policy.
        quorum: A witness, a group, or None where no cosignature is asked for.
    """

    logs: tuple[PolicyLog, ...]
    witnesses: Mapping[bytes, PolicyWitness]
    groups: Mapping[bytes, Group]
    quorum: bytes | None

    @classmethod
    def parse(cls, raw: str | bytes) -> "Policy":
        """Read a policy file.

        Raises:
            FormatError: It is none, or over a limit; the message names the line.
        """
        data = raw.encode() if isinstance(raw, str) else raw
        if len(data) > MAX_POLICY:
            raise FormatError(f"the policy has more than {MAX_POLICY:,} bytes")
        reading = _Reading()
        for number, line in enumerate(data.split(b"\n"), 1):
            try:
                reading.take(line)
            except FormatError as error:
                raise FormatError(f"policy line {number}: {error}") from None
        if not reading.quorum:
            raise FormatError("the policy has no quorum line: add one, or 'quorum none'")
        (quorum,) = reading.quorum
        return cls(
            tuple(reading.logs),
            reading.witnesses,
            reading.groups,
            None if quorum == _NONE else quorum,
        )

    @property
    def log_keys(self) -> tuple[VerifierKey, ...]:
        """The keys of the logs the policy accepts."""
        return tuple(log.key for log in self.logs)

    @property
    def witness_keys(self) -> tuple[VerifierKey, ...]:
        """The keys of the witnesses the policy knows."""
        return tuple(witness.key for witness in self.witnesses.values())

    def shortfall(self, origin: str, signatures: Sequence[Signature]) -> str | None:
        """What verified signatures lack to satisfy the policy.

        Args:
            origin: The log's name, as the checkpoint states it.
            signatures: Those of the checkpoint that were verified.

        Returns:
            None when nothing is lacking, else what is, in plain words.
        """
        keys = {signature.key for signature in signatures}
        if self.logs and not any(log.key in keys for log in self.logs if log.key.name == origin):
            return f"no log of the policy signed it as {_shown(origin.encode())}"
        return self.quorum_shortfall(keys)

    def quorum_shortfall(self, keys: AbstractSet[VerifierKey]) -> str | None:
        """What cosignatures by these keys lack for the quorum; None when nothing is lacking."""
        done = self._witnessed(keys)
        if self.quorum is None or done[self.quorum]:
            return None
        group = self.groups.get(self.quorum)
        if group is None:
            return f"the witness {_shown(self.quorum)} has not cosigned it"
        missing = [_shown(member) for member in group.members if not done[member]]
        return (
            f"the quorum {_shown(group.name)} needs {group.threshold} of {len(group.members)} and has "
            f"{len(group.members) - len(missing)}; missing: {', '.join(missing)}"
        )

    def _witnessed(self, keys: AbstractSet[VerifierKey]) -> dict[bytes, bool]:
        done = {name: witness.key in keys for name, witness in self.witnesses.items()}
        for group in self.groups.values():  # In the order of the file: members come before their groups.
            done[group.name] = sum(done[member] for member in group.members) >= group.threshold
        return done


def open_under_policy(
    note: str | bytes, policy: Policy, log_keys: Sequence[VerifierKey] = ()
) -> tuple[Checkpoint, tuple[Signature, ...]]:
    """Verify a checkpoint and that it satisfies a policy.

    Args:
        note: The whole note.
        policy: Whose signatures it needs.
        log_keys: Keys of the log that the caller trusts, for a policy without `log` lines.

    Returns:
        The checkpoint and the signatures that were verified.

    Raises:
        FormatError: It is no signed checkpoint, or neither the policy nor the caller names a log's key.
        VerificationError: A signature of a known key fails, or the policy is not satisfied.
    """
    logs = policy.log_keys or tuple(log_keys)
    if not logs:
        raise FormatError("the policy names no log: give the log's key beside it")
    checkpoint, signatures = open_signed_note(note, list(dict.fromkeys((*logs, *policy.witness_keys))))
    # A witness of type 0x06 may bear the log's name; only a key listed as a log's stands for the log.
    if not any(each.key in logs and each.key.name == checkpoint.origin for each in signatures):
        raise VerificationError("the checkpoint does not carry the signature of a log the policy accepts")
    lacking = policy.shortfall(checkpoint.origin, signatures)
    if lacking is not None:
        raise VerificationError(f"the checkpoint does not satisfy the policy: {lacking}")
    return checkpoint, signatures


@dataclass
class _Reading:
    """What the lines read so far have defined."""

    logs: list[PolicyLog] = field(default_factory=list)
    witnesses: dict[bytes, PolicyWitness] = field(default_factory=dict)
    groups: dict[bytes, Group] = field(default_factory=dict)
    quorum: list[bytes] = field(default_factory=list)
    grouped: set[bytes] = field(default_factory=set)

    def take(self, line: bytes) -> None:
        """Read one line, without its newline.

        Raises:
            FormatError: It is malformed, contradicts a line before it, or is over a limit.
        """
        if any((each < ord(" ") and each != ord("\t")) or each == _DELETE for each in line):
            raise FormatError("it holds a control character")
        if line.lstrip(_BLANKS).startswith(b"#"):
            return
        words = [word for word in line.replace(b"\t", b" ").split(b" ") if word]
        match words:
            case []:
                pass
            case [b"log", key, *url] if len(url) <= 1:
                self._log(key, url)
            case [b"witness", name, key, *url] if len(url) <= 1:
                self._witness(name, key, url)
            case [b"group", name, threshold, *members] if members:
                self._group(name, threshold, members)
            case [b"quorum", name]:
                self._quorum(name)
            case [(b"log" | b"witness" | b"group" | b"quorum") as keyword, *_]:
                raise FormatError(f"'{keyword.decode()}' is followed by {_FORMS[keyword]}")
            case [keyword, *_]:
                raise FormatError(f"{_shown(keyword)} begins no line of a policy")

    def _log(self, key: bytes, url: Sequence[bytes]) -> None:
        parsed = _key(key)
        if parsed.type not in LOG_TYPES:
            raise FormatError(f"a log's key is of type 0x01 or 0x06, not 0x{parsed.type:02x}")
        if any(log.key.public == parsed.public for log in self.logs):
            raise FormatError("a log with this public key is listed already")
        self.logs.append(PolicyLog(parsed, _url(url)))
        _limit(self.logs, "logs")

    def _witness(self, name: bytes, key: bytes, url: Sequence[bytes]) -> None:
        self._define(name)
        parsed = _key(key)
        if parsed.type not in COSIGNATURE_TYPES:
            raise FormatError(f"a witness's key is of type 0x04 or 0x06, not 0x{parsed.type:02x}")
        if any(witness.key.public == parsed.public for witness in self.witnesses.values()):
            raise FormatError("a witness with this public key is listed already")
        self.witnesses[name] = PolicyWitness(name, parsed, _url(url))
        _limit(self.witnesses, "witnesses")

    def _group(self, name: bytes, threshold: bytes, members: Sequence[bytes]) -> None:
        self._define(name)
        if len(members) > MAX_MEMBERS:
            raise FormatError(f"a group has at most {MAX_MEMBERS} members")
        for member in members:
            self._defined(member)
            if member in self.grouped:
                raise FormatError(
                    f"{_shown(member)} is a member already; a name is listed in one group, once"
                )
            self.grouped.add(member)
        self.groups[name] = Group(name, _threshold(threshold, len(members)), tuple(members))
        _limit(self.groups, "groups")

    def _quorum(self, name: bytes) -> None:
        if self.quorum:
            raise FormatError("there is a quorum line already")
        if name != _NONE:
            self._defined(name)
        self.quorum.append(name)

    def _define(self, name: bytes) -> None:
        if name == _NONE:
            raise FormatError("the name 'none' is reserved")
        if name in self.witnesses or name in self.groups:
            raise FormatError(f"the name {_shown(name)} is defined already")

    def _defined(self, name: bytes) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise FormatError(f"no line before it defines {_shown(name)}")


_FORMS: Final = {
    b"log": "a verifier key and perhaps a URL",
    b"witness": "a name, a verifier key and perhaps a URL",
    b"group": "a name, 'any', 'all' or a number, and its members",
    b"quorum": "one name",
}


def _key(word: bytes) -> VerifierKey:
    try:
        return VerifierKey.parse(word.decode())
    except UnicodeDecodeError:
        raise FormatError("the verifier key is not UTF-8") from None


def _url(words: Sequence[bytes]) -> str | None:
    for word in words:
        try:
            return word.decode()
        except UnicodeDecodeError:
            raise FormatError("the URL is not UTF-8") from None
    return None


def _threshold(word: bytes, members: int) -> int:
    if word in (b"any", b"all"):
        return 1 if word == b"any" else members
    text = word.decode("ascii", "replace")
    if not text.isascii() or not text.isdigit() or len(text) > len(str(MAX_MEMBERS)):
        raise FormatError("a group's threshold is 'any', 'all' or a decimal number")
    if str(int(text)) != text or not 1 <= int(text) <= members:
        raise FormatError(f"a group's threshold is between 1 and the number of its members, here {members}")
    return int(text)


def _limit(named: Sequence[object] | Mapping[bytes, object], what: str) -> None:
    if len(named) > MAX_NAMED:
        raise FormatError(f"a policy has at most {MAX_NAMED} {what}")


def _shown(name: bytes) -> str:
    """A name for a message, whatever octets it has."""
    text = name[:64].decode(errors="backslashreplace")
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
