from uuid import uuid4

from tests.vault.people import ENROLLED, OTHER, person
from tests.vault.rights.conftest import Known
from vault.rights.accesses import accesses
from vault.rights.own_records import OwnRecord, own_records
from vault.server.portal.fictitious import fictitious_identity


async def looked_at(known: Known, n: int = ENROLLED) -> tuple[list[OwnRecord], str | None]:
    subject_id = (await person(known.vault, n)).person.subject_id
    return await own_records(known.vault.log, known.vault.keys, subject_id)


async def test_everything_held_is_shown_what_is_shown_to_nobody_else_too(known: Known) -> None:
    records, _ = await looked_at(known)
    by_category = {one.record.category: one for one in records}
    assert by_category.keys() == {"FIN", "IDN"}
    contract = by_category["FIN"]
    assert contract.record.fields["type"] == "vehicle"
    assert contract.record.source == "Fictitious Bank"
    assert contract.record.document == {"number": "CONTRACT-1", "date": "2026-01-15", "sha256": "0" * 64}
    assert contract.basis == "CRI-29"
    assert contract.state == "shown"
    assert by_category["IDN"].record.fields["number"] == fictitious_identity(ENROLLED)[0]


async def test_what_supports_a_record_stands_apart_from_its_fields(known: Known) -> None:
    records, _ = await looked_at(known)
    for one in records:
        assert not [name for name in one.record.fields if name.startswith("_")]
    (contract,) = (one for one in records if one.record.category == "FIN")
    assert contract.supporting == {"reference": "LOAN-1"}


async def test_looking_is_logged_before_anything_is_opened(known: Known) -> None:
    records, receipt = await looked_at(known)
    row = await person(known.vault, ENROLLED)
    async with known.vault.engine.connect() as connection:
        newest = (await accesses(connection, known.vault.logs, row.person.subject_id))[0]
    assert newest.kind == "own rights"
    assert newest.details["event"] == "own records viewed"
    assert [one[0] for one in newest.details["object"]] == [str(one.record_id) for one in records]
    assert receipt is not None
    assert f"\nindex {newest.index}\n" in receipt


async def test_nothing_of_others_is_shown(known: Known) -> None:
    mine, _ = await looked_at(known)
    theirs, _ = await looked_at(known, OTHER)
    assert not {one.record_id for one in mine} & {one.record_id for one in theirs}


async def test_about_an_unknown_person_nothing_is_held_and_nothing_logged(known: Known) -> None:
    async with known.vault.log.writing() as writing:
        size = writing.head.size
    assert await own_records(known.vault.log, known.vault.keys, uuid4()) == ([], None)
    async with known.vault.log.writing() as writing:
        assert writing.head.size == size
