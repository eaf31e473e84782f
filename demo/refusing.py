"""Chapter 4: who is turned away, who is refused by which rule, and what is absent without a word."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx

from access_log.entry import EntryType
from access_log.receipt import verify_receipt
from consent import bodies
from demo.asking import Inquiry, Logged, permitted, refused
from demo.cast import OPERATOR
from demo.citizen import Citizen
from demo.consenting import KEPT_BACK, Consented
from demo.enforcing import Enforced, court_inquiry
from demo.narrator import Narrator
from demo.people import CITIZEN, NEIGHBOUR, STRANGER
from demo.registrars import reinstate
from demo.stage import Stage

_OTHER_PURPOSE = "credit-review"
_TAX_FIELDS = ("TAX.breach", "TAX.status")


async def turn_away(stage: Stage, narrator: Narrator, consented: Consented) -> None:
    """Requests without a valid token and proof: no entry, so that strangers cannot flood the log."""
    narrator.chapter(4, "What the vault does not answer")
    narrator.say("Turned away, without an entry:")
    inquiry = consented.inquiry
    body = inquiry.body()
    before = await stage.log_size()
    _turned_away(narrator, await stage.http.post("/v1/queries", json=body), "No token")
    bearer = {"Authorization": f"Bearer {inquiry.token}"}
    answer = await stage.http.post("/v1/queries", json=body, headers=bearer)
    _turned_away(narrator, answer, "The token as a bearer token, without proof of its key")
    _nothing_logged(narrator, before, await stage.log_size())
    proof = inquiry.client.proof("POST", "/v1/queries", inquiry.token)
    permitted(stage, await inquiry.client.query(inquiry.token, body, proof=proof))
    before = await stage.log_size()
    answer = await inquiry.client.query(inquiry.token, body, proof=proof)
    _turned_away(narrator, answer, "A good request, caught and sent once more with its proof")
    _nothing_logged(narrator, before, await stage.log_size())


async def refuse(
    stage: Stage, narrator: Narrator, consented: Consented, enforced: Enforced, citizen: Citizen
) -> list[Logged]:
    """Requests that a rule refuses; returns what stands in the log about the story's citizen."""
    narrator.say("Refused, each with its rule and a receipt, because a refusal is logged like an answer:")
    inquiry = consented.inquiry
    refusals = [
        refused(stage, narrator, await inquiry.ask(purpose=_OTHER_PURPOSE), "RULES 5.1", "Another purpose"),
        refused(
            stage,
            narrator,
            await inquiry.ask(fields=[*inquiry.fields, KEPT_BACK]),
            "RULES 6.2",
            f"A field outside the grant ({KEPT_BACK})",
        ),
    ]
    refused(stage, narrator, await inquiry.ask(subject=NEIGHBOUR), "RULES 4.3", "Another person")
    withdrawn = await citizen.withdraw(consented.consent_id)
    receipt = verify_receipt(withdrawn["receipt"], stage.log_keys)
    if receipt.entry.type is not EntryType.CONSENT:
        narrator.fail("the receipt of the withdrawal is of another entry.")
    refusals.append(
        refused(stage, narrator, await inquiry.ask(), "RULES 3.5", "The consent was withdrawn a moment ago")
    )
    async with _suspended(stage, "court"):
        answer = await enforced.inquiry.ask()
        refusals.append(refused(stage, narrator, answer, "RULES 1.1", "The court itself is suspended"))
    permitted(stage, await enforced.inquiry.ask())
    narrator.held("The court is reinstated, and with its next query it is answered again.")
    return refusals


async def keep_silent(stage: Stage, narrator: Narrator) -> Logged:
    """What must not be told apart: a record that is not shown any more, and somebody unknown."""
    narrator.say("Absent, without a word:")
    ended = await _ask_for_tax(await court_inquiry(stage, CITIZEN, _TAX_FIELDS), stage)
    narrator.check(
        not ended.records,
        f"A tax decision about {CITIZEN.name} from 2023 stands, but its twelve months of display are over: "
        "the court gets an empty list.",
    )
    unknown = await _ask_for_tax(await court_inquiry(stage, STRANGER, _TAX_FIELDS), stage)
    narrator.check(
        _as_told(unknown) == _as_told(ended),
        "Somebody the vault has never heard of: the same empty list, in the same words.",
    )
    return ended


async def _ask_for_tax(inquiry: Inquiry, stage: Stage) -> Logged:
    return permitted(stage, await inquiry.ask())


def _as_told(logged: Logged) -> dict[str, object]:
    """The answer, without what differs between any two: receipt and opening."""
    return {name: value for name, value in logged.answer.items() if name not in ("receipt", "opening")}


def _turned_away(narrator: Narrator, answer: httpx.Response, words: str) -> None:
    narrator.check(
        answer.status_code == HTTPStatus.UNAUTHORIZED and "receipt" not in answer.json(),
        f"{words}: {answer.status_code}, {answer.json().get('detail', '')}",
    )


def _nothing_logged(narrator: Narrator, before: int, after: int) -> None:
    narrator.check(before == after, f"The log has {after:,} entries, as before.")


@asynccontextmanager
async def _suspended(stage: Stage, code: str) -> AsyncIterator[None]:
    """Suspends a body of the cast, and reinstates it whatever happens meanwhile."""
    body_id, log = stage.cast[code].body_id, stage.vault.log
    async with log.writing() as writing:
        await bodies.suspend_body(writing, body_id, "part of the demo", OPERATOR)
    try:
        yield
    finally:
        await reinstate(stage.vault, stage.cast, body_id, "part of the demo")
