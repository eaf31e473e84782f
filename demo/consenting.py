"""Chapter 2: a bank asks for one person's contracts, with that person's consent."""

from dataclasses import dataclass

from demo.asking import Inquiry, Logged, permitted
from demo.cast import REDIRECT_URI
from demo.citizen import Citizen
from demo.narrator import Narrator
from demo.stage import Stage

PURPOSE = "credit-granting"
ASKED = ("FIN.type", "FIN.amount_class", "FIN.contract_end", "FIN.status")
KEPT_BACK = "FIN.amount_class"
_GRANTED = tuple(name for name in ASKED if name != KEPT_BACK)
_CASE = "LOAN-2026-00042"


@dataclass(frozen=True)
class Consented:
    """What later chapters need of this one.

    Attributes:
        inquiry: the bank's way of asking, as long as the consent stands.
        consent_id: the consent.
        logged: the answer the bank got.
    """

    inquiry: Inquiry
    consent_id: str
    logged: Logged


async def ask_with_consent(stage: Stage, narrator: Narrator, citizen: Citizen) -> Consented:
    """Tells the chapter."""
    bank = stage.cast["bank"]
    narrator.chapter(2, f"{bank.role.name} asks {citizen.person.name} for consent")
    client = stage.client("bank")
    pushed = await client.push(
        {
            "type": "consented_query",
            "purpose": PURPOSE,
            "fields": list(ASKED),
            "mode": "view",
            "validity": 30,
            "max_uses": 20,
        },
        REDIRECT_URI,
    )
    narrator.say(f"The bank pushed its request (RFC 9126): {', '.join(ASKED)}, for {PURPOSE}.")
    page = await citizen.open(pushed.url)
    narrator.check(
        bank.role.name in page.text and citizen.person.name in page.text,
        f"{citizen.person.name} signed in at the demo's identity provider and reads who asks for what.",
    )
    returned = await citizen.grant(page, without=KEPT_BACK)
    narrator.check(
        returned.get("state") == pushed.state and returned.get("iss") == stage.base and "code" in returned,
        f"{citizen.person.name} ticked all but {KEPT_BACK}, granted that, and was sent back with a code.",
    )
    token = await client.exchange(returned["code"], pushed.verifier, REDIRECT_URI)
    narrator.say("The bank exchanged the code for a token that is bound to its own key (RFC 9449).")
    inquiry = Inquiry(client, token, bank.officer_id, citizen.person, PURPOSE, _GRANTED, _CASE)
    logged = permitted(stage, await inquiry.ask())
    narrator.check(
        len(logged.records) == 1
        and logged.records[0]["fields"].keys() == {one.split(".")[1] for one in _GRANTED},
        f"The answer has one contract, with exactly the fields granted: {_shown(logged)}.",
    )
    narrator.check(
        logged.answer["use_conditions"]["onward_provision"] is False,
        "It says what the bank may do with it: this purpose, and nobody else is to be told.",
    )
    narrator.held(f"Its receipt verifies: the query is entry {logged.index:,} of the log.")
    consents = (await citizen.ask("/v1/me/consents"))["consents"]
    return Consented(inquiry, consents[0]["consent_id"], logged)


def _shown(logged: Logged) -> str:
    return ", ".join(f"{name} {value}" for name, value in logged.records[0]["fields"].items())
