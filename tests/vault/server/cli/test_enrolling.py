"""Files of records into the vault: the real file, every kind of bad one, and the same again."""

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from consent import bodies
from tests.consent.registers import OPERATOR, new_body
from tests.flows.world import contract
from tests.vault.server.commands import ROOT, CommandLine
from vault.records import enrol as enrolment
from vault.records.enrol import CHUNK
from vault.server.assembly import open_vault

SUBMISSIONS = (ROOT / "tests/vectors/submissions/accepted.ndjson").read_text().splitlines()
CREDITS = ROOT / "demo/data/germancredit.csv"
MAPPING = str(ROOT / "demo/data/germancredit.mapping.toml")


@pytest.fixture
def furnisher(creditvault: CommandLine) -> str:
    async def add() -> str:
        settings = creditvault.settings
        assert settings.database_url is not None
        async with open_vault(settings, settings.database_url) as vault, vault.log.writing() as writing:
            return str(await bodies.add_body(writing, new_body(capacities=("furnish",)), OPERATOR))

    return asyncio.run(add())


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "records.ndjson"
    path.write_text("\n".join(SUBMISSIONS) + "\n")
    return path


@pytest.fixture
def credit(tmp_path: Path) -> Path:
    """The first 20 real cases."""
    path = tmp_path / "credit.csv"
    path.write_text("".join(CREDITS.read_text().splitlines(keepends=True)[:21]))
    return path


def _counts(done: dict[str, Any]) -> tuple[int, int, int]:
    return done["enrolled"], done["standing"], done["rejected"]


def test_a_file_is_enrolled_and_again_changes_nothing(
    creditvault: CommandLine, furnisher: str, records: Path
) -> None:
    done = creditvault.good("enrol", str(records), "--body", furnisher)
    assert _counts(done) == (len(SUBMISSIONS), 0, 0)
    assert done["rejects"] is None
    assert [entry["type"] for entry in creditvault.good("log", "show", "--last", "22")] == ["record"] * 22
    again = creditvault.good("enrol", str(records), "--body", furnisher)
    assert _counts(again) == (0, len(SUBMISSIONS), 0)
    assert list(records.parent.glob("records.ndjson.*")) == []
    assert creditvault.good("log", "fsck")["sound"]


def test_a_real_csv_is_enrolled_through_a_mapping_and_its_columns_reported(
    creditvault: CommandLine, furnisher: str, credit: Path
) -> None:
    ran = creditvault("enrol", str(credit), "--mapping", MAPPING, "--body", furnisher)
    assert ran.code == 0
    assert "mapped: duration_in_month, credit_history, purpose, credit_amount" in ran.out
    assert "not mapped, never stored: " in ran.out
    assert "refused, never stored: foreign_worker (20 rows)" in ran.out
    assert "refused, never stored: savings_account_and_bonds (20 rows)" in ran.out
    assert ran.out.splitlines()[-1] == "20 enrolled, 0 stood already, 0 rejected"
    columns = creditvault.good("enrol", str(credit), "--mapping", MAPPING, "--body", furnisher)["columns"]
    uses = {column["column"]: (column["use"], column["rows"]) for column in columns}
    assert uses["creditability"][0] == "forbidden"
    assert uses["foreign_worker"] == ("forbidden", 20)
    assert uses["purpose"][0] == "mapped"


@pytest.mark.slow
def test_the_whole_real_file(creditvault: CommandLine, furnisher: str, tmp_path: Path) -> None:
    path = tmp_path / CREDITS.name
    path.write_bytes(CREDITS.read_bytes())
    done = creditvault.good("enrol", str(path), "--mapping", MAPPING, "--body", furnisher)
    assert _counts(done) == (1000, 0, 0)
    assert creditvault.good("log", "fsck")["sound"]


def test_bad_rows_are_listed_with_what_to_do_and_good_ones_kept(
    creditvault: CommandLine, furnisher: str, records: Path
) -> None:
    wrong = json.loads(SUBMISSIONS[1])
    wrong["subject"]["number"] = "990000199305130027"
    future = json.loads(SUBMISSIONS[2])
    future["document"]["date"] = "2093-01-01"
    secret = json.loads(SUBMISSIONS[3])
    secret["fields"]["mood"] = "value nobody may see"
    lines = [
        SUBMISSIONS[0],
        json.dumps(wrong),
        json.dumps(future),
        json.dumps(secret),
        "{",
        '"\xff"',
        "",
        "[]",
    ]
    records.write_bytes("\n".join(lines).encode("latin-1"))
    ran = creditvault("enrol", str(records), "--body", furnisher)
    assert ran.code == 1
    assert "1 enrolled, 0 stood already, 6 rejected" in ran.out
    assert "rejected by rule 3.1: subject.number (1 rows)" in ran.out
    listed = Path(f"{records}.rejects.ndjson")
    text = listed.read_text()
    rejects = [json.loads(line) for line in text.splitlines()]
    assert [(one["line"], one["rule"]) for one in rejects] == [
        (2, "3.1"), (3, "5.6"), (4, "5.1"), (5, "1.3"), (6, "1.1"), (8, "2.3"),
    ]  # fmt: skip
    assert all(one.keys() == {"line", "column", "rule", "remedy"} and one["remedy"] for one in rejects)
    for value in ("990000199305130027", "2093", "nobody may see"):
        assert value not in text + ran.out + ran.err

    # Mended, the same file is taken whole, and the old list of rejects does not stay behind.
    records.write_text("\n".join(SUBMISSIONS[:4]))
    assert creditvault("enrol", str(records), "--body", furnisher).code == 0
    assert not listed.exists()


def test_rejects_go_where_they_are_wanted(
    creditvault: CommandLine, furnisher: str, records: Path, tmp_path: Path
) -> None:
    records.write_text("{")
    wanted = tmp_path / "elsewhere.ndjson"
    ran = creditvault("enrol", str(records), "--body", furnisher, "--rejects", str(wanted), "--json")
    assert ran.code == 1
    assert ran.json()["rejects"] == str(wanted)
    assert ran.json()["reasons"][0]["rule"] == "1.3"
    assert len(wanted.read_text().splitlines()) == 1


def test_a_reference_with_other_content_is_rejected(
    creditvault: CommandLine, furnisher: str, records: Path
) -> None:
    creditvault.good("enrol", str(records), "--body", furnisher)
    other = json.loads(SUBMISSIONS[1])
    other["document"]["number"] = "ANOTHER-NUMBER"
    records.write_text(json.dumps(other))
    ran = creditvault("enrol", str(records), "--body", furnisher)
    assert ran.code == 1
    assert "names a record with other content" in ran.out


def test_a_dry_run_checks_everything_and_enrols_nothing(
    creditvault: CommandLine, furnisher: str, credit: Path
) -> None:
    before = creditvault.good("log", "show")
    with credit.open("a") as file:
        file.write("too,few,cells\n")
    arguments = ("enrol", str(credit), "--mapping", MAPPING, "--body", furnisher, "--dry-run")
    ran = creditvault(*arguments)
    assert ran.code == 1
    assert "20 would be enrolled, 0 stood already, 1 rejected" in ran.out
    assert creditvault.good("log", "show") == before


def test_a_renamed_column_is_refused_before_the_first_row(
    creditvault: CommandLine, furnisher: str, credit: Path
) -> None:
    credit.write_text(credit.read_text().replace("credit_amount", "credit_amounts", 1))
    line = creditvault.refused("enrol", str(credit), "--mapping", MAPPING, "--body", furnisher)
    assert "the file has no column credit_amount (is it now credit_amounts?)" in line
    assert list(credit.parent.glob("credit.csv.*")) == []


def test_invented_people_are_for_a_demo_alone(creditvault: CommandLine, furnisher: str, credit: Path) -> None:
    creditvault.set(demo=None)
    line = creditvault.refused("enrol", str(credit), "--mapping", MAPPING, "--body", furnisher)
    assert "identities come either from the caller or from columns" in line


def test_a_wrong_file_is_wrong_usage(
    creditvault: CommandLine, furnisher: str, records: Path, credit: Path, tmp_path: Path
) -> None:
    other = tmp_path / "records.xlsx"
    other.write_text("x")
    for arguments, words in (
        ((str(other),), "give a .csv, .ndjson or .jsonl file"),
        ((str(credit),), "a CSV file needs one"),
        ((str(records), "--mapping", MAPPING), "an NDJSON file has none"),
        ((str(credit), "--mapping", str(records)), "the mapping is malformed"),
    ):
        assert words in creditvault.refused("enrol", *arguments, "--body", furnisher)


def test_who_may_not_furnish_hands_nothing_in(
    creditvault: CommandLine, furnisher: str, records: Path
) -> None:
    unknown = "00000000-0000-0000-0000-000000000001"
    assert "no active body that may furnish" in creditvault.refused("enrol", str(records), "--body", unknown)
    creditvault("body", "suspend", furnisher, "--reason", "under investigation")
    line = creditvault.refused("enrol", str(records), "--body", furnisher)
    assert "no active body that may furnish" in line


def test_a_body_suspended_meanwhile_hands_in_nothing_more(
    creditvault: CommandLine, furnisher: str, credit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two chunks the body is suspended: the first stands, the second is refused under the lock."""
    with credit.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    with credit.open("w", newline="") as file:
        csv.writer(file).writerows([header, *(rows[at % 20] for at in range(CHUNK + 10))])
    enrol = enrolment.Enrolment.enrol

    async def enrol_then_suspend(self: Any, *arguments: Any, **others: Any) -> Any:
        results = await enrol(self, *arguments, **others)
        async with self._log.writing() as writing:
            await bodies.suspend_body(writing, arguments[1].body_id, "meanwhile", OPERATOR)
        return results

    monkeypatch.setattr(enrolment.Enrolment, "enrol", enrol_then_suspend)
    line = creditvault.refused("enrol", str(credit), "--mapping", MAPPING, "--body", furnisher)
    assert "may not furnish now" in line
    monkeypatch.undo()
    creditvault.__post_init__()
    types = [entry["type"] for entry in creditvault.good("log", "show", "--last", "1000")]
    assert types.count("record") == CHUNK


# ── All or nothing ───────────────────────────────────────────────────────────────────────────────


def _contracts(path: Path, *changes: tuple[int, str, object]) -> Path:
    """More rows than a chunk has, about five persons, with members of some of them changed."""
    rows = [json.loads(contract(n % 5 + 1, f"whole-{n}")) for n in range(CHUNK + 20)]
    for at, member, value in changes:
        rows[at][member] = value
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_whole_file_is_enrolled_and_again_changes_nothing(
    creditvault: CommandLine, furnisher: str, tmp_path: Path
) -> None:
    path = _contracts(tmp_path / "whole.ndjson")
    looked = creditvault.good("enrol", str(path), "--body", furnisher, "--all-or-nothing", "--dry-run")
    assert (_counts(looked), looked["dry_run"]) == ((CHUNK + 20, 0, 0), True)
    done = creditvault.good("enrol", str(path), "--body", furnisher, "--all-or-nothing")
    assert (_counts(done), done["dry_run"]) == ((CHUNK + 20, 0, 0), False)
    again = creditvault.good("enrol", str(path), "--body", furnisher, "--all-or-nothing")
    assert _counts(again) == (0, CHUNK + 20, 0)
    (month,) = creditvault.good("body", "quality", furnisher)
    assert month["enrolled"] == {"FIN": CHUNK + 20}
    assert sum(month["late"].values()) == CHUNK + 20


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ((CHUNK + 19, "basis", "NONE"), "4.2"),
        # The reference of the first row, in another chunk and with other content.
        ((CHUNK + 18, "furnisher_reference", "whole-0"), "7.1"),
        ((CHUNK + 19, "supersedes", {"version": 1, "reason": "error"}), "7.2"),
    ],
)
def test_one_bad_row_keeps_the_whole_file_out(
    creditvault: CommandLine, furnisher: str, tmp_path: Path, change: tuple[int, str, object], rule: str
) -> None:
    path = _contracts(tmp_path / "whole.ndjson", change)
    ran = creditvault("enrol", str(path), "--body", furnisher, "--all-or-nothing")
    assert ran.code == 1
    assert "0 enrolled, 0 stood already, 1 rejected" in ran.out
    assert f"{CHUNK + 19} more would pass: none is enrolled while others are rejected" in ran.out
    (rejected,) = map(json.loads, Path(f"{path}.rejects.ndjson").read_text().splitlines())
    assert (rejected["line"], rejected["rule"]) == (change[0] + 1, rule)
    assert creditvault.good("log", "show", "--last", "1")[0]["type"] != "record"
    (month,) = creditvault.good("body", "quality", furnisher)
    assert (month["enrolled"], month["rejected"]) == ({}, {rule: 1})
    assert creditvault("body", "quality", furnisher).out.count(f"{rule}: 1") == 1


def test_quality_is_asked_of_a_body_that_is_there(creditvault: CommandLine) -> None:
    ran = creditvault("body", "quality", "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11")
    assert ran.code == 2
    assert "no body has this id" in ran.err
