"""Repeats under an idempotency key after the world has changed: they open the same or less, never more."""

from typing import Any

import httpx
from sqlalchemy import create_engine, text

from access_log.entry import EntryType
from consent import bodies, consents, statutes
from demo.cast import OPERATOR
from tests.flows.world import contract
from tests.vault.served import Served, problem


def as_owner(served: Served, statement: str) -> None:
    url = served.world.settings.owner_database_url
    assert url is not None
    engine = create_engine(url)
    with engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount
    engine.dispose()


def records(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    return list(response.json()["records"])


async def test_a_record_that_came_later_is_in_no_repeat(served: Served) -> None:
    await served.enrol(1)
    court = await served.court(1)
    first = records(await court.ask(idempotency_key="k"))
    await (await served.furnisher()).lines(contract(1, "another-contract", type="housing"))
    assert records(await court.ask(idempotency_key="k")) == first
    assert len(records(await court.ask())) == 2


async def test_a_record_whose_display_ended_meanwhile_is_in_no_repeat(served: Served) -> None:
    await served.enrol(1)
    court = await served.court(1)
    assert records(await court.ask(idempotency_key="k"))
    size = await served.size()
    as_owner(served, "UPDATE vault.record SET display_until = '2026-01-16' WHERE category = 'FIN'")
    again = await court.ask(idempotency_key="k")
    assert records(again) == []
    assert await served.size() == size  # the entry of the first is an upper bound
    as_owner(served, "UPDATE vault.record SET display_until = NULL WHERE category = 'FIN'")
    assert records(await court.ask(idempotency_key="k"))


async def test_a_repeat_opens_the_version_the_entry_names(served: Served) -> None:
    """Superseded since, it is what was asked and logged."""
    await served.enrol(1)
    court = await served.court(1)
    first = records(await court.ask(idempotency_key="k"))
    as_owner(served, "UPDATE vault.record SET superseded = true WHERE category = 'FIN'")
    assert records(await court.ask()) == []
    assert records(await court.ask(idempotency_key="k")) == first


async def test_after_a_revocation_a_repeat_is_a_new_refusal(served: Served) -> None:
    await served.enrol(1)
    bank = await served.bank(1)
    assert records(await bank.ask(idempotency_key="k"))
    person, signer = await served.world.person(1), served.world.vault.keeper.signer
    async with served.world.log.writing() as writing:
        await consents.withdraw(writing, person, bank.grant_id, None, signer)
    size = await served.size()
    for at in range(2):  # each is decided and logged again
        refused = problem(await bank.ask(idempotency_key="k"), 403, "refused")
        assert refused["rule"] == "RULES 3.5"
        assert served.opened(refused)["decision"] == "refused"
        assert await served.size() == size + at + 1


async def test_after_an_authorization_was_revoked(served: Served) -> None:
    court = await served.court(1)
    assert records(await court.ask(idempotency_key="k")) == []
    async with served.world.log.writing() as writing:
        await statutes.revoke_unsigned(writing, court.grant_id, "for a test", OPERATOR)
    assert problem(await court.ask(idempotency_key="k"), 403, "refused")["rule"] == "RULES 3.2"
    assert problem(await court.ask(), 403, "refused")["rule"] == "RULES 3.2"


async def test_after_the_body_was_suspended(served: Served) -> None:
    court = await served.court(1)
    assert records(await court.ask(idempotency_key="k")) == []
    async with served.world.log.writing() as writing:
        await bodies.suspend_body(writing, served.world.cast["court"].body_id, "for a test", OPERATOR)
    assert problem(await court.ask(idempotency_key="k"), 403, "refused")["rule"] == "RULES 1.1"


async def test_after_ten_minutes_it_is_a_query_of_its_own(served: Served) -> None:
    await served.enrol(1)
    bank = await served.bank(1, max_uses=2)
    assert records(await bank.ask(idempotency_key="k"))
    size = await served.size()
    as_owner(served, "UPDATE access_log.request SET time = time - interval '10 minutes 1 second'")
    assert records(await bank.ask(idempotency_key="k"))
    assert await served.size() == size + 1
    as_owner(served, "UPDATE access_log.request SET time = time - interval '10 minutes 1 second'")
    assert problem(await bank.ask(idempotency_key="k"), 403, "refused")["rule"] == "RULES 7.4"


async def test_a_repeat_whose_payload_was_altered_opens_nothing(served: Served) -> None:
    """It spoils its own answer; a query beside it is answered."""
    await served.enrol(1)
    court = await served.court(1)
    first = await court.ask(idempotency_key="k")
    index = served.receipt(first.json()["receipt"]).index
    as_owner(
        served,
        "UPDATE access_log.payload SET sealed = overlay(sealed placing '\\x0000'::bytea from 40)"
        f" WHERE index = {index}",
    )
    problem(await court.ask(idempotency_key="k"), 503, "unavailable")
    assert records(await court.ask())


async def test_a_record_that_does_not_open_is_withheld_and_told_in_the_log(served: Served) -> None:
    """The use is given back by an entry of type 10, and a repeat is a query of its own."""
    await served.enrol(1, 2)
    bank, other = await served.bank(1, max_uses=1), await served.court(2)
    owned = (await served.world.person(1)).subject_id
    flip = "set_byte(key_check, 0, get_byte(key_check, 0) # 1)"
    where = f"WHERE subject_id = '{owned}' AND category = 'FIN'"
    as_owner(served, f"UPDATE vault.record SET key_check = {flip} {where}")
    size = await served.size()
    problem(await bank.ask(idempotency_key="k"), 503, "unavailable")
    assert records(await other.ask())
    told = [await served.payload(index) for index in range(size, await served.size())]
    settled = [one for one in told if "query" in one]
    while not settled:  # settled by the next batch, or by one of its own
        await other.ask()
        told = [await served.payload(index) for index in range(size, await served.size())]
        settled = [one for one in told if "query" in one]
    assert [one["reason"] for one in settled] == ["the answer could not be released"]
    assert settled[0]["subject"] == str(owned)
    as_owner(served, f"UPDATE vault.record SET key_check = {flip} {where}")
    answer = await bank.ask(idempotency_key="k")
    assert records(answer)
    assert served.receipt(answer.json()["receipt"]).entry.type is EntryType.QUERY_PERMITTED
    assert problem(await bank.ask(), 403, "refused")["rule"] == "RULES 7.4"
