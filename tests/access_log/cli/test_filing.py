"""The page an inspector files."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log import cli
from access_log.checkpoint import VerifierKey
from access_log.cli.filing import Filing, page
from access_log.cli.tool import Tool, this_tool
from access_log.contradiction import ContradictionError, Kind, Signed
from access_log.errors import SourceError, VerificationError
from access_log.verify import verify_log
from tests.access_log.simulator import KEYS, SIGNER, make_entries, publish, sign

ENTRIES = make_entries(300)
KEY = SIGNER.verifier_key()
TOOL = Tool("0.1.0", "ab" * 32, "3.11", "50")


class Parsed(HTMLParser):
    """The tags and the text of a page; its elements must nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {name for name, _ in attrs if name.startswith("on") or name in {"src", "href"}}
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def filing(place: str = "./log") -> Filing:
    return Filing(place, KEYS, TOOL, 1_790_000_000_000)


def test_a_good_audit_says_what_was_checked_and_what_was_not() -> None:
    about = filing()
    audit = verify_log(publish(ENTRIES), KEYS)
    about.signed = audit.signed
    parsed = Parsed(page(about, audit, 1_790_000_001_000))
    for told in (
        "All 300 entries verify",
        "697ea6bb",
        "2026-09-21T14:13:21.000Z",
        sign(ENTRIES).splitlines()[2],
        "ab" * 32,
        "What this does not show",
        "no earlier checkpoint was given",
    ):
        assert told in parsed.text
    assert "script" not in parsed.tags
    assert parsed.tags.count("h1") == 1
    about.earlier = [audit.signed]
    text = page(about, audit, 0)
    assert "no earlier checkpoint was given" not in text
    assert "begins with that of each earlier" in text


def test_findings_and_failures_are_filed() -> None:
    text = Parsed(page(filing(), VerificationError("it was altered", 17), 0)).text
    assert "Entry 17: it was altered." in text
    assert "First bad entry" in text
    text = Parsed(page(filing(), SourceError("nobody answered"), 0)).text
    assert "says nothing about tampering: nobody answered." in text
    one, other = (Signed(KEYS[0], note) for note in ("note one\n", "note two\n"))  # type: ignore[arg-type]
    text = Parsed(page(filing(), ContradictionError(Kind.FORK, "forked", one, other), 0)).text
    assert "note one" in text
    assert "note two" in text


@given(st.text())
def test_nothing_others_wrote_becomes_part_of_the_page(text: str) -> None:
    honest = Parsed(page(filing(), VerificationError("x"), 0)).tags
    marked = f"<script>{text}</td></table>&lt;"
    about = filing(marked)
    about.keys = [VerifierKey(f"<b>{text}", 1, bytes(32))]
    written = page(about, VerificationError(marked), 0)
    assert Parsed(written).tags == honest
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", written)


def test_the_command_writes_it_whatever_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = publish(ENTRIES).write_to(tmp_path / "log")
    file = tmp_path / "audit.html"
    command = ["verify", str(log), "--log-key", KEY, "--report", str(file)]
    assert cli.main(command) == 0
    assert ">Good<" in file.read_text()
    (log / "tile/0/000").write_bytes(b"")
    assert cli.main(command) == 1
    assert ">Does not verify<" in file.read_text()
    (log / "checkpoint").unlink()
    assert cli.main(command) == 2
    assert ">No verdict<" in file.read_text()
    capsys.readouterr()
    assert cli.main([*command[:-1], str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_hides_no_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = publish(ENTRIES).write_to(tmp_path / "log")
    (log / "tile/0/000").write_bytes(b"")
    nowhere = str(tmp_path / "nowhere" / "audit.html")
    assert cli.main(["verify", str(log), "--log-key", KEY, "--report", nowhere]) == 1
    told = capsys.readouterr()
    assert told.out.startswith("Does not verify: entry 0: ")
    assert "cannot be written" in told.err


def test_a_verifier_run_from_a_folder_says_so() -> None:
    assert this_tool().sha256 is None
