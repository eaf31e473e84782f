import csv
import hashlib
import io
import tracemalloc
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.catalogue import load_catalogue
from vault.catalogue.months import add_months
from vault.crypto.blind import Identifier
from vault.errors import VaultError
from vault.records.accepting import parse_submission
from vault.records.mapping import ColumnMapping, MappingError, load_mapping
from vault.records.readers import LONGEST_LINE, ColumnReport, CsvReader, Row, read_ndjson, read_one
from vault.records.submission import Accepted, Rejected
from vault.server.portal.fictitious import MOST, fictitious_identity

ROOT = Path(__file__).parents[3]
DATA = ROOT / "demo" / "data"
CN = load_catalogue("cn")
TODAY = date(2026, 11, 24)


def parse_identifier(scheme: str, number: str) -> Identifier:
    return Identifier.parse(scheme, number, {"demo-id"})


def judge(rows: Iterator[Row | Rejected]) -> Iterator[Accepted | Rejected]:
    for row in rows:
        if isinstance(row, Rejected):
            yield row
        else:
            yield parse_submission(
                row.value, line=row.line, catalogue=CN, parse_identifier=parse_identifier, today=TODAY
            )


def lines(raw: bytes, longest: int = LONGEST_LINE) -> list[Row | Rejected]:
    return list(read_ndjson(io.BytesIO(raw), longest))


def rules(rows: list[Row | Rejected]) -> list[tuple[int, str]]:
    return [(row.line, row.rule if isinstance(row, Rejected) else "") for row in rows]


class TestNdjson:
    def test_the_examples_of_every_category_are_read_and_accepted(self) -> None:
        with (ROOT / "tests" / "vectors" / "submissions" / "accepted.ndjson").open("rb") as stream:
            results = list(judge(read_ndjson(stream)))
        assert len(results) == 22
        assert all(isinstance(result, Accepted) for result in results)
        assert [result.line for result in results] == list(range(1, 23))

    def test_bad_lines_are_named_and_the_rest_is_read(self) -> None:
        raw = b"\n".join(
            [
                b'\xef\xbb\xbf{"a": 1}',
                b'{"a": "\xff"}',
                b'{"a": ',
                b"",
                b'{"a": 1, "a": 2}',
                b'{"a": {"b": 1, "b": 1}}',
                b'{"a": NaN}',
                b'{"a": 1}\r',
                b'{"a": 1} {"b": 2}',
                b"[" * 30_000,
                b"9" * 5_000,
                b"17",
            ]
        )
        assert rules(lines(raw)) == [
            (1, ""),
            (2, "1.1"),
            (3, "1.3"),
            (5, "1.4"),
            (6, "1.4"),
            (7, "1.3"),
            (8, ""),
            (9, "1.3"),
            (10, "1.3"),
            (11, "1.3"),
            (12, ""),
        ]

    def test_a_body_that_is_one_submission_may_have_many_lines(self) -> None:
        read = read_one(b'\xef\xbb\xbf{\n "a": 1\n}\n')
        assert isinstance(read, Row)
        assert (read.line, read.value) == (1, {"a": 1})
        assert isinstance(read_one(b"{"), Rejected)

    def test_an_oversized_line_costs_only_itself(self) -> None:
        raw = b'{"a": "' + b"x" * 100 + b'"}\n{"b": 2}\n' + b"y" * 50
        assert rules(lines(raw, longest=20)) == [(1, "1.2"), (2, ""), (3, "1.2")]

    def test_a_row_shows_no_value(self) -> None:
        assert "Ada" not in repr(lines(b'{"name": "Ada"}'))

    def test_an_endless_line_takes_no_memory(self) -> None:
        class Endless(io.RawIOBase):
            """Eight million bytes without a line break."""

            left = 8_000_000

            def readable(self) -> bool:
                return True

            def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
                size = min(len(buffer), self.left)
                buffer[:size] = b"x" * size
                self.left -= size
                return size

        endless: Any = Endless()
        tracemalloc.start()
        try:
            assert rules(list(read_ndjson(io.BufferedReader(endless)))) == [(1, "1.2")]
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()

    @given(raw=st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
    def test_any_bytes_are_read_without_an_error(self, raw: bytes) -> None:
        for result in judge(read_ndjson(io.BytesIO(raw), longest=64)):
            assert isinstance(result, Accepted | Rejected)
            assert 1 <= result.line <= raw.count(b"\n") + 1


@pytest.fixture(scope="module")
def german() -> ColumnMapping:
    return load_mapping(DATA / "germancredit.mapping.toml", CN)


class TestGermanCredit:
    def test_a_thousand_contracts_are_accepted(self, german: ColumnMapping) -> None:
        with (DATA / "germancredit.csv").open("rb") as stream:
            reader = CsvReader(stream, german, CN, fictitious_identity)
            results = list(judge(iter(reader)))
        accepted = [result for result in results if isinstance(result, Accepted)]
        assert len(accepted) == len(results) == 1000
        assert len({one.submission.identifier.number for one in accepted}) == 1000
        assert sum(one.adverse for one in accepted) == 88
        with (DATA / "germancredit.csv").open(newline="") as text:
            for one, row in zip(accepted, csv.DictReader(text), strict=True):
                fields = one.submission.fields
                assert fields["contract_end"] == add_months(date(2024, 1, 15), int(row["duration_in_month"]))
                assert fields["amount_class"] == amount_class(int(row["credit_amount"]))

    def test_what_becomes_of_each_column_is_said(self, german: ColumnMapping) -> None:
        with (DATA / "germancredit.csv").open("rb") as stream:
            reader = CsvReader(stream, german, CN, fictitious_identity)
            for _ in reader:
                pass
        reports = {report.column: report for report in reader.columns()}
        assert len(reports) == 21
        by_use: dict[str, set[str]] = {}
        for report in reports.values():
            by_use.setdefault(report.use, set()).add(report.column)
            assert report.rows == (0 if report.use == "mapped" else 1000)
        assert by_use["mapped"] == {"purpose", "credit_amount", "duration_in_month", "credit_history"}
        assert by_use["forbidden"] == {
            "foreign_worker",
            "personal_status_and_sex",
            "creditability",
            "telephone",
            "other_debtors_or_guarantors",
            "number_of_people_being_liable_to_provide_maintenance_for",
        }
        assert by_use["needs-warned-consent"] == {
            "status_of_existing_checking_account",
            "savings_account_and_bonds",
            "installment_rate_in_percentage_of_disposable_income",
            "property",
            "housing",
        }
        assert reports["creditability"].reason == (
            "a rating or inferred trait is an opinion, not a fact resting on a document (PRIVACY)"
        )
        assert reports["savings_account_and_bonds"].reason.endswith("(CRI 14¶2)")

    def test_what_is_not_mapped_is_nowhere_in_a_submission(self, german: ColumnMapping) -> None:
        with (DATA / "germancredit.csv").open("rb") as stream:
            rows = list(CsvReader(stream, german, CN, fictitious_identity))
        whole = "".join(repr(row.value) for row in rows if isinstance(row, Row))
        for told in ("divorced", "skilled", "DM", "foreign", "guarantor", "registered under", "real estate"):
            assert told not in whole


def amount_class(amount: int) -> str:
    steps = [(1000, "up-to-1k"), (5000, "1k-5k"), (10_000, "5k-10k"), (50_000, "10k-50k")]
    return next(name for below, name in steps if amount < below)


MAPPING = """schema = 1
category = "COM"
basis = "PIPL-13-CONTRACT"
delimiter = ";"

[subject]
scheme = "demo-id"
number = { column = "id" }
name = { column = "who", optional = true }

[furnisher_reference]
template = "COM-{row}"

[document]
number = { column = "paper" }
date = { column = "signed", kind = "date" }
sha256 = { sha256_of = "paper {row}" }

[notice]
exemption = { column = "exempt", optional = true }

[fields.text]
column = "promise"

[fields.due]
column = "months"
months_after = 2026-01-31

[fields.kept]
column = "kept"
kind = "boolean"
optional = true
"""
HEADER = "id;who;paper;signed;exempt;promise;months;kept;colour"


NUMBER, NAME = fictitious_identity(1)


def write_mapping(folder: Path, text: str) -> ColumnMapping:
    path = folder / "commitments.toml"
    path.write_text(text)
    return load_mapping(path, CN)


@pytest.fixture(scope="module")
def kept_mapping(tmp_path_factory: pytest.TempPathFactory) -> ColumnMapping:
    """The same for every example of a property."""
    return write_mapping(tmp_path_factory.mktemp("mapping"), MAPPING)


@pytest.fixture
def commitments(tmp_path: Path) -> ColumnMapping:
    return write_mapping(tmp_path, MAPPING)


def reader_of(mapping: ColumnMapping, *rows: str | bytes, header: str = HEADER) -> CsvReader:
    raw = b"\r\n".join(row.encode() if isinstance(row, str) else row for row in (header, *rows))
    return CsvReader(io.BytesIO(raw), mapping, CN)


def row(**cells: str) -> str:
    values = {
        "id": NUMBER,
        "who": NAME,
        "paper": "P-1",
        "signed": "2026-01-31",
        "exempt": "",
        "promise": "To finish the roof",
        "months": "1",
        "kept": "true",
        "colour": "red",
    }
    return ";".join((values | cells).values())


class TestCsv:
    def test_a_row_becomes_a_submission(self, commitments: ColumnMapping) -> None:
        (read,) = list(reader_of(commitments, row()))
        assert isinstance(read, Row)
        assert read.line == 2
        assert read.value == {
            "subject": {"scheme": "demo-id", "number": NUMBER, "name": NAME},
            "category": "COM",
            "basis": "PIPL-13-CONTRACT",
            "furnisher_reference": "COM-1",
            "document": {
                "number": "P-1",
                "date": "2026-01-31",
                "sha256": hashlib.sha256(b"paper 1").hexdigest(),
            },
            "fields": {"text": "To finish the roof", "due": "2026-02-28", "kept": True},
        }
        (accepted,) = list(judge(iter([read])))
        assert isinstance(accepted, Accepted)

    def test_an_empty_cell_leaves_an_optional_member_out(self, commitments: ColumnMapping) -> None:
        (read,) = list(reader_of(commitments, row(who="", kept=" ")))
        assert isinstance(read, Row)
        assert isinstance(read.value, dict)
        assert "name" not in read.value["subject"]
        assert "kept" not in read.value["fields"]

    @pytest.mark.parametrize(
        ("bad", "rule", "column"),
        [
            (row(paper=""), "6.1", "paper"),
            (row(months="soon"), "6.3", "months"),
            (row(months="-1"), "6.3", "months"),
            (row(kept="perhaps"), "6.3", "kept"),
            (row(promise='"unpaired'), "1.5", ""),
            (row(promise='un"paired'), "1.5", ""),
            (row(promise='"paired"but then"more"'), "1.5", ""),
            (row(promise="one\rtwo"), "1.5", ""),
            (row() + ";more", "1.6", ""),
            ("short", "1.6", ""),
            (row().encode() + b"\xff", "1.1", ""),
        ],
    )
    def test_a_bad_row_is_named_and_the_rest_is_read(
        self, commitments: ColumnMapping, bad: str | bytes, rule: str, column: str
    ) -> None:
        first, *rest = list(reader_of(commitments, bad, row()))
        assert isinstance(first, Rejected)
        assert (first.line, first.rule, first.column) == (2, rule, column)
        unpaired = (bad if isinstance(bad, bytes) else bad.encode()).count(b'"') % 2
        assert [one.line for one in rest] == ([] if unpaired else [3])

    def test_quoted_cells_may_hold_anything(self, commitments: ColumnMapping) -> None:
        rows = list(reader_of(commitments, row(promise='"a; ""b""\r\nc"'), "", row()))
        assert rules(rows) == [(2, ""), (5, "")]
        assert isinstance(rows[0], Row)
        assert isinstance(rows[0].value, dict)
        assert rows[0].value["fields"]["text"] == 'a; "b"\r\nc'

    def test_a_lost_quotation_mark_costs_at_most_the_longest_row(self, commitments: ColumnMapping) -> None:
        raw = "\n".join([HEADER, row(promise='"lost'), *(row() for _ in range(30))]).encode()
        rows = list(CsvReader(io.BytesIO(raw), commitments, CN, longest=400))
        assert isinstance(rows[0], Rejected)
        assert (rows[0].line, rows[0].rule) == (2, "1.2")
        assert len(rows) > 25
        assert all(isinstance(one, Row) for one in rows[1:])

    def test_an_oversized_row_costs_only_itself(self, commitments: ColumnMapping) -> None:
        raw = "\n".join([HEADER, row(promise="x" * 5000), row()]).encode()
        rows = list(CsvReader(io.BytesIO(raw), commitments, CN, longest=400))
        assert rules(rows) == [(2, "1.2"), (3, "")]

    def test_rows_keep_their_number_when_others_are_bad(self, commitments: ColumnMapping) -> None:
        _, second = list(reader_of(commitments, "short", row()))
        assert isinstance(second, Row)
        assert isinstance(second.value, dict)
        assert second.value["furnisher_reference"] == "COM-2"

    def test_unmapped_columns_are_counted_where_they_hold_something(self, commitments: ColumnMapping) -> None:
        reader = reader_of(commitments, row(), row(colour=""), row(colour=" "), "short")
        assert len(list(reader)) == 4
        assert reader.columns()[-1] == ColumnReport("colour", "unmapped", "not in the mapping", 1)

    def test_a_renamed_column_is_named_with_the_line_of_the_mapping(self, commitments: ColumnMapping) -> None:
        with pytest.raises(MappingError) as caught:
            reader_of(commitments, row(), header=HEADER.replace("promise", "promises"))
        error = caught.value
        assert (error.file, error.line) == ("commitments.toml", 23)
        assert str(error) == (
            "commitments.toml, line 23: the file has no column promise (is it now promises?). "
            "Rename the column in the file, or change the mapping on that line."
        )
        assert isinstance(error, VaultError)

    def test_a_missing_column_is_named(self, commitments: ColumnMapping) -> None:
        with pytest.raises(MappingError, match=r"line 8: the file has no column id\."):
            reader_of(commitments, row(), header=HEADER.replace("id;", "xyz;"))

    @pytest.mark.parametrize(
        ("raw", "problem"),
        [
            (b"", "has no column"),
            (b"\n\n", "has no column"),
            (HEADER.encode() + b";who", "names a column twice"),
            (b"\xff;id", "is no header"),
            (b'"id', "is no header"),
            (b"x" * 100_000, "has no column"),
        ],
    )
    def test_a_file_without_a_header_is_refused(
        self, commitments: ColumnMapping, raw: bytes, problem: str
    ) -> None:
        with pytest.raises(MappingError, match=problem):
            CsvReader(io.BytesIO(raw), commitments, CN)

    def test_identities_come_from_one_place(self, commitments: ColumnMapping, german: ColumnMapping) -> None:
        with pytest.raises(MappingError, match=r"line 6: identities come either"):
            CsvReader(io.BytesIO(), commitments, CN, fictitious_identity)
        with pytest.raises(MappingError, match="identities come either"):
            CsvReader(io.BytesIO(), german, CN)

    @given(raw=st.binary(max_size=300) | st.text(';"\n\ra1', max_size=200).map(str.encode))
    def test_any_bytes_are_read_without_an_error(self, kept_mapping: ColumnMapping, raw: bytes) -> None:
        reader = CsvReader(io.BytesIO(HEADER.encode() + b"\n" + raw), kept_mapping, CN, longest=64)
        for result in judge(iter(reader)):
            assert isinstance(result, Accepted | Rejected)
            assert result.line >= 2


BROKEN = [
    # old, new, line, problem
    ("schema = 1", "schema = ", 0, "is malformed"),
    ("schema = 1", "schema = 1\ncolour = 1", 0, "is malformed"),
    ("schema = 1", "schema = 2", 1, "schema"),
    ('category = "COM"', 'category = "PET"', 2, "no such category"),
    ("PIPL-13-CONTRACT", "WAGES", 3, "basis is not allowed"),
    ('delimiter = ";"', 'delimiter = ";;"', 4, "delimiter"),
    ('delimiter = ";"', "delimiter = '\"'", 4, "delimiter"),
    ('number = { column = "id" }\n', "", 6, "no source, or two"),
    ('scheme = "demo-id"', 'scheme = "demo-id"\nsupplied = true', 6, "no source, or two"),
    ('template = "COM-{row}"', "", 11, "has no source"),
    ('template = "COM-{row}"', 'template = "COM-{row}"\nvalue = "x"', 11, "more than one"),
    ('template = "COM-{row}"', "value = 1.5", 11, "of no kind"),
    ('template = "COM-{row}"', 'value = "x"\nkind = "date"\nvalues = { a = "b" }', 11, "more than one way"),
    ('column = "promise"', 'column = "promise"\nvalues = {}\nclasses = []', 23, "more than one way"),
    ('column = "promise"', 'column = "promise"\nkind = "picture"', 23, "kind of fields.text is unknown"),
    ('column = "promise"', 'column = "promise"\nclasses = []', 23, "do not cover"),
    ('column = "promise"', 'column = "promise"\nclasses = [{ below = 1, value = "a" }]', 23, "do not cover"),
    (
        'column = "promise"',
        'column = "promise"\nclasses = [{ below = 2, value = "" }, { below = 1, value = "" }, {value=""}]',
        23,
        "do not cover",
    ),
    (
        'column = "promise"',
        'column = "promise"\nclasses = [{ value = "a" }, { value = "b" }]',
        23,
        "do not cover",
    ),
    ('column = "promise"', 'column = "foreign_worker"', 23, "foreign_worker may not be stored"),
    ('column = "promise"', 'column = "savings"', 23, "savings may not be stored"),
    ("[fields.text]", "[fields.test]", 23, "COM has no field test"),
    ('[fields.text]\ncolumn = "promise"\n', "", 0, "COM needs text"),
]


class TestMapping:
    @pytest.mark.parametrize(("old", "new", "line", "problem"), BROKEN)
    def test_a_mapping_that_is_wrong_says_where_and_what_to_do(
        self, tmp_path: Path, old: str, new: str, line: int, problem: str
    ) -> None:
        assert old in MAPPING
        with pytest.raises(MappingError) as caught:
            write_mapping(tmp_path, MAPPING.replace(old, new, 1))
        assert problem in caught.value.problem
        assert caught.value.line == line
        assert caught.value.remedy

    def test_a_table_leads_to_values_the_field_can_take(self, tmp_path: Path) -> None:
        text = (DATA / "germancredit.mapping.toml").read_text()
        with pytest.raises(MappingError, match="the table of type leads to a value the field cannot take"):
            write_mapping(tmp_path, text.replace('"vehicle"', '"spaceship"'))
        with pytest.raises(MappingError, match="the table of amount_class leads"):
            write_mapping(tmp_path, text.replace('"over-1m"', '"riches"'))

    def test_a_value_outside_the_table_rejects_the_row(self, german: ColumnMapping) -> None:
        header = "purpose,credit_amount,duration_in_month,credit_history"
        good = "business,1000.5,12,delay in paying off in the past"
        rows = [
            good.replace("business", "yacht"),
            good.replace("1000.5", "a lot"),
            good.replace("12", "a year"),
            good,
            good.replace("1000.5", "1000000"),
        ]
        stream = io.BytesIO("\n".join([header, *rows]).encode())
        results = list(CsvReader(stream, german, CN, fictitious_identity))
        assert rules(results) == [(2, "6.2"), (3, "6.3"), (4, "6.3"), (5, ""), (6, "")]
        assert [
            one.value["fields"]["amount_class"]
            for one in results
            if isinstance(one, Row) and isinstance(one.value, dict)
        ] == ["1k-5k", "over-1m"]
        assert "yacht" not in repr(results)

    def test_whole_numbers_are_read_as_such(self, tmp_path: Path) -> None:
        text = """schema = 1
category = "POS"
basis = "VOLUNTEER-19"
subject = { scheme = "demo-id", supplied = true }
furnisher_reference = { template = "POS-{row}" }
document = { number = { value = "D" }, date = { value = 2026-01-01 }, sha256 = { sha256_of = "D" } }
consent = { reference = { value = "W" }, date = { value = "2026-01-01" } }
fields = { activity = { value = "Library" }, hours = { column = "h", kind = "integer" } }
"""
        mapping = write_mapping(tmp_path, text)
        rows = CsvReader(io.BytesIO(b"h\n12\n1.5\nmany\n"), mapping, CN, fictitious_identity)
        first, *rest = list(judge(iter(rows)))
        assert isinstance(first, Accepted)
        assert first.submission.fields["hours"] == 12
        assert [one.rule for one in rest if isinstance(one, Rejected)] == ["6.3", "6.3"]

    def test_a_mapping_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(MappingError, match=r"absent\.toml: the mapping file cannot be read"):
            load_mapping(tmp_path / "absent.toml", CN)


def test_every_rule_of_reading_is_broken_by_a_test() -> None:
    """Sections 1 and 6 of the document are the readers'; the others are tested with submissions."""
    text = Path(__file__).read_text()
    for rule in ("1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "6.1", "6.2", "6.3"):
        assert f'"{rule}"' in text


class TestIdentities:
    @given(n=st.integers(1, MOST))
    def test_an_invented_person_is_valid_adult_and_not_real(self, n: int) -> None:
        number, name = fictitious_identity(n)
        known = parse_identifier("demo-id", number)
        assert number.startswith("99")
        assert CN.of_age_from(known.birth_date) <= date(2018, 1, 1)
        assert len(name.split()) == 2
        assert fictitious_identity(n) == (number, name)

    def test_no_two_are_the_same(self) -> None:
        assert len({fictitious_identity(n)[0] for n in range(1, 3001)}) == 3000

    @pytest.mark.parametrize("n", [0, -1, MOST + 1])
    def test_there_is_an_end_to_them(self, n: int) -> None:
        with pytest.raises(ValueError, match="there are invented people"):
            fictitious_identity(n)
