"""The log against receipts and against the journal of unwraps: what agrees, and each way to differ."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from access_log.receipt import parse_receipt
from tests.access_log.logs import as_owner
from tests.vault.people import person
from tests.vault.served import Served
from vault.crypto.envelopes import subject_key_aad
from vault.crypto.errors import ProviderUnavailableError
from vault.crypto.journal import MONTH, START, UNNAMED, Journal, for_entry, for_job
from vault.records.keys import ROOT
from vault.rights.own_records import own_records
from vault.server.reconciliation import (
    Differences,
    ReceiptsError,
    Unwraps,
    reconcile_receipts,
    reconcile_unwraps,
)

NOW = timedelta(0)


def silent(_done: int, _of: int) -> None:
    pass


def journal(served: Served) -> Journal:
    return Journal.of(served.world.settings.keyring_path)


async def unwraps(served: Served) -> tuple[Unwraps, Differences]:
    found = Differences()
    return await reconcile_unwraps(served.world.log, journal(served), found, silent, NOW), found


async def asked(served: Served, n: int = 1) -> int:
    """A permitted query that opens something; its entry's index."""
    answer = await (await served.court(n)).ask()
    assert answer.status_code == httpx.codes.OK
    assert answer.json()["records"]
    return parse_receipt(answer.json()["receipt"]).index


async def aad(served: Served, n: int) -> bytes:
    return subject_key_aad((await person(served.world.vault, n)).person.subject_id)


async def test_a_vault_that_did_its_work_agrees(served: Served) -> None:
    await served.enrol(1, 2)
    await served.enrol(1, 2)
    await asked(served, 1)
    bank = await served.bank(2, 2)
    for _ in range(3):  # the third is refused
        await bank.ask()
    subject: UUID = (await person(served.world.vault, 1)).person.subject_id
    await own_records(served.world.log, served.world.vault.keys, subject)
    done, found = await unwraps(served)
    assert found.listed == []
    assert (done.unwrapped + done.cached, done.judged) == (4, 4)
    assert done.lines > done.unwrapped


async def test_queries_that_share_an_unwrap_have_a_line_each(served: Served) -> None:
    await served.enrol(1)
    court = await served.court(1)
    answers = await asyncio.gather(*(court.ask() for _ in range(12)))
    assert {each.status_code for each in answers} == {httpx.codes.OK}
    done, found = await unwraps(served)
    assert (done.judged, found.listed) == (12, [])
    assert done.unwrapped + done.cached == 12
    assert done.cached  # some came in one batch


async def test_a_repeat_has_a_line_of_its_own(served: Served) -> None:
    await served.enrol(1)
    court = await served.court(1)
    for _ in range(2):
        assert (await court.ask(idempotency_key="k")).status_code == httpx.codes.OK
    done, found = await unwraps(served)
    assert (done.unwrapped, done.judged, found.listed) == (2, 1, [])


async def test_every_way_to_differ_is_named(served: Served) -> None:
    await served.enrol(1, 2)
    index = await asked(served, 1)
    refused = parse_receipt((await (await served.court(1)).ask(purpose="lending")).json()["receipt"]).index
    lines = journal(served)
    size = await served.size()
    lines.write(ROOT, [(b"any", UNNAMED)])
    lines.write(ROOT, [(await aad(served, 2), START)])
    lines.write(ROOT, [(await aad(served, 2), MONTH)])
    lines.write(ROOT, [(await aad(served, 2), for_entry(index))])
    lines.write(ROOT, [(await aad(served, 1), for_entry(refused))])
    lines.write(ROOT, [(await aad(served, 1), for_entry(size + 5))], cached=True)
    lines.write(ROOT, [(await aad(served, 1), for_job("enrol.1"))])
    with lines.files()[0].open("ab") as file:
        file.write(b"1 2 3\n")
    _, found = await unwraps(served)
    reasons = [(one.where, one.reason) for one in found.listed]
    assert [reason for _, reason in reasons] == [
        "it was unwrapped, and nothing says what for",
        "it was unwrapped as a key of the system, and is none",
        "it was unwrapped as a month's, and is none",
        "it is no line of a journal: torn, or altered",
        reasons[4][1],
        "the key of another person was unwrapped for it",
        "a key was unwrapped for it, and it permits nothing (QUERY_REFUSED)",
    ]
    assert "there is no such entry" in reasons[4][1]
    assert [where for where, _ in reasons[4:]] == [f"entry {size + 5}", f"entry {index}", f"entry {refused}"]


async def test_a_journal_that_was_cut(served: Served) -> None:
    await served.enrol(1)
    index = await asked(served)
    (file,) = journal(served).files()
    lines = file.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if f"entry:{index}\n".encode() not in line]
    assert len(kept) < len(lines)
    file.write_bytes(b"".join(kept))
    _, found = await unwraps(served)
    (one,) = found.listed
    assert one.where == f"entry {index}"
    assert "no key was unwrapped for it" in one.reason
    # What was logged within the last minute may be opened yet.
    found = Differences()
    await reconcile_unwraps(served.world.log, journal(served), found, silent)
    assert found.listed == []


async def test_what_was_not_released_needs_no_line(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await served.enrol(1)
    court = await served.court(1)

    async def fail(*_: object) -> None:
        raise ProviderUnavailableError("the provider is gone")

    with monkeypatch.context() as patch:
        patch.setattr(served.world.vault.keys.provider, "unwrap_many", fail)
        assert (await court.ask()).status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert (await court.ask()).status_code == httpx.codes.OK  # and what was owed is written before it
    done, found = await unwraps(served)
    assert (done.judged, found.listed) == (2, [])


# ── Receipts ─────────────────────────────────────────────────────────────────────────────────────


async def receipts(served: Served, place: Path) -> tuple[int, list[str]]:
    found = Differences()
    count = await reconcile_receipts(served.world.log, place, found, silent)
    return count, [one.reason for one in found.listed]


async def test_receipts_of_this_log_agree_and_others_are_named(
    served: Served, tmp_path: Path, owner_url: str
) -> None:
    await served.enrol(1)
    court = await served.court(1)
    folder = tmp_path / "receipts" / "2026"
    folder.mkdir(parents=True)
    texts = [(await court.ask()).json()["receipt"] for _ in range(3)]
    for at, text in enumerate(texts):
        (folder / f"{at}.tlog-proof").write_text(text)
    assert await receipts(served, tmp_path / "receipts") == (3, [])
    assert await receipts(served, folder / "0.tlog-proof") == (1, [])
    (folder / "0.tlog-proof").write_bytes(b"\xff")
    (folder / "3.tlog-proof").write_text(texts[0].replace("index ", "index 1"))
    as_owner(
        owner_url,
        "UPDATE access_log.entry SET entry = set_byte(entry, 90, get_byte(entry, 90) # 1) WHERE index = :at",
        at=parse_receipt(texts[1]).index,
    )
    as_owner(owner_url, "DELETE FROM access_log.entry WHERE index = :at", at=parse_receipt(texts[2]).index)
    count, reasons = await receipts(served, tmp_path / "receipts")
    assert count == 4
    assert reasons[0] == "the receipt does not verify: it is no text"
    assert reasons[1] == f"entry {parse_receipt(texts[1]).index} of the log is another than the receipt's"
    assert reasons[2] == f"its entry {parse_receipt(texts[2]).index} is missing from the log"
    assert reasons[3].startswith("the receipt does not verify: ")
    with pytest.raises(ReceiptsError, match="there is no receipt and no folder"):
        await receipts(served, tmp_path / "nowhere")
