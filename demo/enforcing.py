"""Chapter 3: a court asks, on an authorization that two registrars signed."""

from collections.abc import Sequence
from dataclasses import dataclass

from consent import registrars, statutes
from demo.asking import Inquiry, Logged, permitted
from demo.cast import COURT_CASE
from demo.narrator import Narrator
from demo.other_records import ENFORCED_CASE
from demo.people import CITIZEN, Invented
from demo.stage import Stage

PURPOSE = "court-enforcement"
_FIELDS = ("FIN.type", "FIN.status", "JUD.case_number", "JUD.performance")


@dataclass(frozen=True)
class Enforced:
    """What later chapters need of this one.

    Attributes:
        inquiry: the court's way of asking.
        logged: the answer it got.
    """

    inquiry: Inquiry
    logged: Logged


async def ask_as_court(stage: Stage, narrator: Narrator) -> Enforced:
    """Tells the chapter."""
    court = stage.cast["court"]
    narrator.chapter(3, f"The {court.role.name} asks on a statutory authorization")
    async with stage.vault.engine.connect() as connection:
        authorization = await statutes.read_authorization(connection, stage.cast.authorization)
        names = {one.registrar_id: one.name for one in await registrars.list_registrars(connection)}
    if authorization is None or authorization.approver_id is None:
        narrator.fail("the court's authorization is not registered, or not approved.")
    proposer, approver = names[authorization.proposer_id], names[authorization.approver_id]
    narrator.check(
        authorization.state == "approved" and proposer != approver,
        f"Its authorization was proposed by {proposer} and approved by {approver}, each with their own key.",
    )
    inquiry = await court_inquiry(stage, CITIZEN, _FIELDS)
    logged = permitted(stage, await inquiry.ask())
    documents = {one["source"]["document"]["number"] for one in logged.records}
    narrator.check(
        len(logged.records) == 2 and ENFORCED_CASE in documents,  # noqa: PLR2004 -- one contract, one judgment
        f"The answer has the contract and the judgment, in case {COURT_CASE}, and names their documents.",
    )
    narrator.held(f"Its receipt verifies: the query is entry {logged.index:,} of the log.")
    return Enforced(inquiry, logged)


async def court_inquiry(stage: Stage, person: Invented, fields: Sequence[str]) -> Inquiry:
    """The court's token for one person and these fields."""
    court = stage.cast["court"]
    client = stage.client("court")
    token = await client.statutory_token(
        {
            "type": "statutory_query",
            "authorization": str(stage.cast.authorization),
            "purpose": PURPOSE,
            "case_reference": COURT_CASE,
            "officer": str(court.officer_id),
            "subject": person.subject,
            "fields": list(fields),
            "actions": ["read"],
        }
    )
    return Inquiry(client, token, court.officer_id, person, PURPOSE, tuple(fields), COURT_CASE)
