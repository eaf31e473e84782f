"""Chapter 1: a bank hands in a real file, and the vault keeps what the law lets it keep."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from demo.client import BodyClient
from demo.narrator import Narrator
from demo.other_records import other_records
from demo.people import CITIZEN, ENROLLED
from demo.stage import Stage
from vault.records.mapping import load_mapping
from vault.records.readers import ColumnReport, CsvReader, Row
from vault.server.portal.fictitious import fictitious_identity

_DATA = Path(__file__).parent / "data"
_FILE = "germancredit.csv"
_MAPPING = "germancredit.mapping.toml"
_BATCH = 250
_MAPPED = {"purpose", "credit_amount", "duration_in_month", "credit_history"}
_FORBIDDEN = {"foreign_worker", "personal_status_and_sex", "creditability"}
_WARNED = {"savings_account_and_bonds", "status_of_existing_checking_account"}
_NEEDS_CONSENT = "needs-warned-consent"


async def enrol(stage: Stage, narrator: Narrator) -> None:
    """Tells the chapter."""
    narrator.chapter(1, "A bank hands in 1,000 credit contracts from a real file")
    with (_DATA / _FILE).open("rb") as stream:
        catalogue = stage.vault.catalogue
        reader = CsvReader(
            stream, load_mapping(_DATA / _MAPPING, catalogue), catalogue, identities=fictitious_identity
        )
        rows = list(reader)
    lines = [json.dumps(row.value) for row in rows if isinstance(row, Row)]
    narrator.check(
        len(lines) == len(rows) == ENROLLED,
        f"{_FILE}: {len(rows):,} real cases read, each under an invented identity; none was rejected.",
    )
    _report_columns(reader.columns(), narrator)
    bank = stage.client("furnisher")
    token = await bank.statutory_token({"type": "record_submission", "categories": ["FIN"]})
    await _send_contracts(bank, token, lines, narrator)
    await _send_again(stage, bank, token, lines[:_BATCH], narrator)
    await _send_forbidden(bank, token, lines[0], narrator)
    await _send_others(stage, narrator)


def _report_columns(columns: Sequence[ColumnReport], narrator: Narrator) -> None:
    of_use: dict[str, dict[str, ColumnReport]] = {}
    for one in columns:
        of_use.setdefault(one.use, {})[one.column] = one
    refused = {**of_use["forbidden"], **of_use[_NEEDS_CONSENT]}
    narrator.check(set(of_use["mapped"]) == _MAPPED, f"Columns used: {', '.join(sorted(of_use['mapped']))}.")
    narrator.say(f"Columns nobody needs, never stored: {', '.join(sorted(of_use['unmapped']))}.")
    narrator.say("Columns the catalogue refuses, by name, with the number of cases that had something there:")
    narrator.table(
        ("column", "cases", "why"), [(one.column, f"{one.rows:,}", one.reason) for one in refused.values()]
    )
    narrator.check(
        of_use["forbidden"].keys() >= _FORBIDDEN
        and of_use[_NEEDS_CONSENT].keys() >= _WARNED
        and all(one.rows == ENROLLED for one in refused.values()),
        "Nationality, sex and family, ratings, and balances without a warned consent are all refused.",
    )


async def _send_contracts(bank: BodyClient, token: str, lines: Sequence[str], narrator: Narrator) -> None:
    new = standing = 0
    with narrator.progress("Sealing records, each under keys of its person's own", len(lines)) as advance:
        for batch in _batches(lines):
            answer = await _submit(bank, token, batch, narrator)
            if answer["rejected"]:
                narrator.fail(f"records were rejected that should not be: {answer['rejects'][0]}")
            new += answer["enrolled"]
            standing += answer["standing"]
            advance(len(batch))
    words = f"{new:,} records were sealed, each with an entry in the log"
    if standing:
        words = f"{standing:,} records stand already from an earlier demo, {new:,} are new"
    narrator.check(new + standing == len(lines), f"{words}.")


async def _send_again(
    stage: Stage, bank: BodyClient, token: str, lines: Sequence[str], narrator: Narrator
) -> None:
    before = await stage.log_size()
    answer = await _submit(bank, token, lines, narrator)
    narrator.check(
        answer["standing"] == len(lines) and await stage.log_size() == before,
        f"The same {len(lines)} records sent again: all stand already, nothing is stored or logged twice.",
    )
    other = json.loads(lines[0])
    other["fields"]["status"] = "settled"
    answer = await _submit(bank, token, [json.dumps(other)], narrator)
    narrator.check(
        answer["rejected"] == 1 and answer["rejects"][0]["column"] == "furnisher_reference",
        "Other content under a reference that stands is turned away: no record is changed in silence.",
    )


async def _send_forbidden(bank: BodyClient, token: str, line: str, narrator: Narrator) -> None:
    smuggled = json.loads(line)
    smuggled["furnisher_reference"] = "GC-SMUGGLED"
    smuggled["fields"]["foreign_worker"] = "yes"
    answer = await _submit(bank, token, [json.dumps(smuggled)], narrator)
    reject = answer["rejects"][0] if answer["rejects"] else {}
    narrator.check(
        answer["rejected"] == 1 and reject["column"] == "fields.foreign_worker",
        f"A record that carries foreign_worker past the mapping is refused too: rule {reject.get('rule')} "
        "of SUBMISSION.md.",
    )


async def _send_others(stage: Stage, narrator: Narrator) -> None:
    today = stage.vault.catalogue.today(datetime.now(UTC))
    told: list[tuple[str, ...]] = []
    for one in other_records(today):
        client = stage.client(one.furnisher)
        token = await client.statutory_token({"type": "record_submission", "categories": [one.category]})
        answer = await _submit(client, token, [json.dumps(one.submission)], narrator)
        if answer["enrolled"] + answer["standing"] != 1:
            narrator.fail(f"a record of {one.category} was rejected: {answer['rejects']}")
        told.append(
            (
                one.category,
                stage.cast[one.furnisher].role.name,
                one.submission["subject"]["name"],
                one.submission["document"]["number"],
            )
        )
    narrator.say("Some people have records of other kinds, each from the body that keeps them:")
    narrator.table(("kind", "from", "about", "document"), told)
    narrator.check(
        {kind for kind, *_ in told} == {"JUD", "LAB", "LIC", "TAX"},
        f"{ENROLLED + len(told):,} records of {ENROLLED:,} people stand. The story follows {CITIZEN.name}.",
    )


async def _submit(client: BodyClient, token: str, lines: Sequence[str], narrator: Narrator) -> dict[str, Any]:
    answer = await client.submit(token, "\n".join(lines).encode())
    if not answer.is_success:
        narrator.fail(f"POST /v1/records answered {answer.status_code}")
    body: dict[str, Any] = answer.json()
    return body


def _batches(lines: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(lines)
    while batch := list(islice(rest, _BATCH)):
        yield batch
