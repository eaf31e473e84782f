"""The report of an audit as a page an inspector can file, print and read again in ten years."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from access_log.cli.cosigning import in_words
from access_log.cli.output import iso, plain
from access_log.cli.tool import Tool
from access_log.contradiction import ContradictionError, Signed
from access_log.cosigned import Witnessed
from access_log.encoding import to_base64
from access_log.errors import AccessLogError, SourceError, VerificationError
from access_log.policy import Policy
from access_log.verifier_keys import VerifierKey
from access_log.verify import Audit

_STEPS: Final = (
    "The checkpoint is signed by the log\u2019s key.",
    "Every entry it covers is there, and is an entry.",
    "No entry is earlier than the one before.",
    "The chain runs from the log\u2019s name through all entries.",
    "Every tile states the hashes that follow from the entries.",
    "The tree over the entries has the signed root.",
)
_EARLIER: Final = "The tree begins with that of each earlier checkpoint."
_COSIGNED: Final = (
    "Witnesses cosigned a checkpoint as the policy asks, and the tree begins with that checkpoint\u2019s."
)
_LIMITS: Final = (
    "That an access was logged at all: an altered server can open records without an entry.",
    "What the entries say: each commits to its content and is opened by who may see it.",
    "That a person was shown all entries of theirs: that takes the proofs of completeness.",
    "That others were shown the same log, unless their checkpoints, or witnesses\u2019, were compared.",
    "Who is to blame: a finding shows that something does not hold, not who made it so.",
)
_RESUMED: Final = (
    "That the entries before the first one read are still served: an earlier run with the inspector\u2019s "
    "state file verified them, and this one shows that the signed tree still holds them."
)
_UNWITNESSED: Final = (
    "That others were shown the same entries behind the witnessed ones: no cosigned checkpoint covers them."
)
_FIRST: Final = "That the log was not rewritten as a whole: no earlier checkpoint was given to hold it to."
_KINDS: Final = {0x01: "Ed25519", 0x04: "Ed25519 cosignature", 0x06: "ML-DSA-44"}
_STYLE: Final = """
:root { color-scheme: light; }
body { font: 11pt/1.45 system-ui, "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff;
  max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; border-bottom: 1px solid #767676; padding-bottom: .2rem; }
.result { border: 2px solid; border-left-width: .6rem; padding: .6rem .9rem; margin: 1rem 0; }
.result strong { font-size: 1.2rem; display: block; }
.good { border-color: #1b6e3c; } .bad { border-color: #a3131f; } .none { border-color: #8a5a00; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: #4a4a4a; padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
  border-bottom: 1px solid #d0d0d0; }
th { font-weight: 600; width: 13rem; }
code, pre { font: 9.5pt/1.4 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
pre { border: 1px solid #d0d0d0; padding: .5rem .7rem; white-space: pre-wrap; }
.signature th, .signature td { border: 0; height: 2.6rem; vertical-align: bottom; }
.signature td { border-bottom: 1px solid #1a1a1a; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; }
  h2 { break-after: avoid; } .result, tr, pre { break-inside: avoid; }
}
@page { margin: 18mm; }
"""


@dataclass(slots=True)
class Filing:
    """What an audit was about, as far as it came.

    Attributes:
        place: The directory or address that was read.
        keys: The keys that were trusted.
        tool: The verifier.
        begun: When, in milliseconds since the epoch.
        earlier: The checkpoints the log was held to.
        policy: Whose cosignatures were asked for; None if nobody's.
        signed: The checkpoint that was audited, once it was opened.
        witnessed: The one that satisfies the policy, once it was found.
    """

    place: str
    keys: Sequence[VerifierKey]
    tool: Tool
    begun: int
    earlier: Sequence[Signed] = field(default_factory=list)
    policy: Policy | None = None
    signed: Signed | None = None
    witnessed: Witnessed | None = None


def page(filing: Filing, outcome: Audit | AccessLogError, ended: int) -> str:
    """Write the whole page: no script, nothing fetched, everything others wrote escaped.

    Args:
        filing: What was audited.
        outcome: What was found: a log that verified, or the error that says why not.
        ended: When, in milliseconds since the epoch.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_verdict(outcome)[1]}: audit of an access log</title>\n<style>{_STYLE}</style>\n"
        "</head>\n<body>\n<main>\n"
        + "\n".join(_body(filing, outcome, ended))
        + "\n</main>\n</body>\n</html>\n"
    )


def _body(filing: Filing, outcome: Audit | AccessLogError, ended: int) -> Iterator[str]:
    look, verdict, sentence = _verdict(outcome)
    yield "<h1>Audit of an access log</h1>"
    yield f'<div class="result {look}" role="status"><strong>{verdict}</strong>{_text(sentence)}</div>'
    yield _table("What was checked", "The log and the time.", _facts(filing, outcome, ended))
    yield _table(
        "Keys that were trusted", "By name and id; compare them with the announced ones.", _keys(filing.keys)
    )
    if filing.earlier:
        rows = (
            (f"{each.checkpoint.size:,} entries", _code(to_base64(each.checkpoint.root)))
            for each in filing.earlier
        )
        yield _table("Earlier checkpoints it was held to", "Size and root.", rows)
    if filing.policy is not None and filing.policy.quorum is not None:
        yield _table(
            "Witnesses the policy knows", "By their names in it, and their keys.", _witnesses(filing.policy)
        )
    if isinstance(outcome, ContradictionError):
        yield f"<h2>Evidence: {outcome.kind.value}</h2>"
        yield "<p>Two notes of one log that cannot both be honest:</p>"
        for note, which in zip(outcome.evidence, ("Known before", "Found now"), strict=True):
            yield f"<h3>{which}</h3>\n{_pre(note)}"
    elif filing.signed is not None:
        yield f"<h2>The checkpoint that was audited</h2>\n{_pre(filing.signed.note)}"
        if filing.witnessed is not None and filing.witnessed.signed != filing.signed:
            yield f"<h2>The checkpoint that was witnessed</h2>\n{_pre(filing.witnessed.signed.note)}"
    title = (
        "What was shown" if isinstance(outcome, Audit) else "What a good audit shows, and this one did not"
    )
    yield _list(title, "ol", list(_steps(filing)))
    yield _list("What this does not show", "ul", list(_limits(filing, outcome)))
    yield _table("The verifier", "Run the same one to repeat this.", _tool(filing.tool))
    yield (
        '<h2>Filed by</h2>\n<table class="signature"><tbody>\n'
        '<tr><th scope="row">Name and office</th><td></td></tr>\n'
        '<tr><th scope="row">Date and signature</th><td></td></tr></tbody></table>'
    )


def _steps(filing: Filing) -> Iterator[str]:
    yield from _STEPS
    if filing.earlier:
        yield _EARLIER
    if filing.policy is not None and filing.policy.quorum is not None:
        yield _COSIGNED


def _limits(filing: Filing, outcome: Audit | AccessLogError) -> Iterator[str]:
    if isinstance(outcome, Audit) and outcome.begun_at:
        yield _RESUMED
    if filing.witnessed is not None and filing.witnessed.signed != filing.signed:
        yield _UNWITNESSED
    if not filing.earlier:
        yield _FIRST
    yield from _LIMITS


def _verdict(outcome: Audit | AccessLogError) -> tuple[str, str, str]:
    """Look, verdict and one sentence."""
    if isinstance(outcome, Audit):
        read = outcome.checkpoint.size - outcome.begun_at
        since = f" from {outcome.begun_at:,} on" if outcome.begun_at else ""
        return "good", "Good", f"All {read:,} entries{since} verify and give the tree that the log signed."
    if isinstance(outcome, SourceError):
        return (
            "none",
            "No verdict",
            f"Something could not be read; this says nothing about tampering: {outcome}.",
        )
    return "bad", "Does not verify", f"{str(outcome)[:1].upper()}{str(outcome)[1:]}."


def _facts(filing: Filing, outcome: Audit | AccessLogError, ended: int) -> Iterator[tuple[str, str]]:
    yield "Read from", _code(filing.place)
    yield "Begun", iso(filing.begun)
    yield "Ended", iso(ended)
    if filing.signed is not None:
        checkpoint = filing.signed.checkpoint
        yield "Log (origin)", _code(checkpoint.origin)
        yield "Entries covered", f"{checkpoint.size:,}"
        yield "Root", _code(to_base64(checkpoint.root))
        if filing.witnessed is not None:
            covered = filing.witnessed.signed.checkpoint.size
            yield "Entries witnessed", f"the first {covered:,}; {checkpoint.size - covered:,} not yet"
            yield "Witnessed by", _text(in_words(filing.witnessed.by))
    if isinstance(outcome, Audit):
        yield "First entry read", f"{outcome.begun_at:,}"
        yield "Chain value", _code(to_base64(outcome.chain))
        if outcome.first_time is not None and outcome.last_time is not None:
            yield "Times of the entries", f"{iso(outcome.first_time)} to {iso(outcome.last_time)}"
    elif isinstance(outcome, VerificationError) and outcome.index is not None:
        yield "First bad entry", f"{outcome.index:,} (counted from 0)"


def _keys(keys: Sequence[VerifierKey]) -> Iterator[tuple[str, str]]:
    for key in keys:
        yield key.id.hex(), f"{_code(key.name)}<br>{_KINDS[key.type]}"


def _witnesses(policy: Policy) -> Iterator[tuple[str, str]]:
    for each in policy.witnesses.values():
        key = each.key
        name = plain(each.name.decode(errors="backslashreplace"))
        yield name, f"{_code(key.name)} {key.id.hex()}<br>{_KINDS[key.type]}"


def _tool(tool: Tool) -> Iterator[tuple[str, str]]:
    yield "Version", escape(tool.version)
    yield (
        "SHA-256 of the one file",
        _code(tool.sha256) if tool.sha256 else "run from a folder, not from the one file",
    )
    yield "Python, cryptography", escape(f"{tool.python}, {tool.cryptography}")


# ── Pieces of HTML ───────────────────────────────────────────────────────────────────────────────


def _text(text: str) -> str:
    return f"<bdi>{escape(plain(text))}</bdi>"


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _pre(text: str) -> str:
    return "<pre>" + "\n".join(escape(plain(line)) for line in text.splitlines()) + "</pre>"


def _list(title: str, kind: str, items: Sequence[str]) -> str:
    lines = "\n".join(f"<li>{escape(each)}</li>" for each in items)
    return f"<h2>{escape(title)}</h2>\n<{kind}>\n{lines}\n</{kind}>"


def _table(title: str, caption: str, rows: Iterator[tuple[str, str]]) -> str:
    """A table of facts; the second of a pair is HTML."""
    lines = "\n".join(f'<tr><th scope="row">{escape(name)}</th><td>{value}</td></tr>' for name, value in rows)
    head = f"<h2>{escape(title)}</h2>\n<table>\n<caption>{escape(caption)}</caption>"
    return f"{head}\n<tbody>\n{lines}\n</tbody>\n</table>"
