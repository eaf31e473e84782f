"""Chapter 5: the citizen sees who asked, when, for what, on which basis, which fields, refusals included."""

from collections.abc import Iterable, Sequence
from typing import Any

from access_log.payload import check_opening
from access_log.receipt import verify_receipt
from demo.asking import Logged
from demo.browser import Browser
from demo.citizen import Citizen
from demo.consenting import Consented
from demo.enforcing import Enforced
from demo.narrator import Narrator
from demo.other_records import ENDED_TAX_DECISION
from demo.people import NEIGHBOUR
from demo.stage import Stage

_SHOWN = 10
_RULES = ("RULES 5.1", "RULES 6.2", "RULES 3.5", "RULES 1.1")


async def look(
    stage: Stage,
    narrator: Narrator,
    citizen: Citizen,
    asked: tuple[Consented, Enforced],
    refusals: Sequence[Logged],
) -> None:
    """Tells the chapter."""
    narrator.chapter(5, f"{citizen.person.name} sees who asked")
    accesses = {one["index"]: one for one in (await citizen.ask("/v1/me/accesses"))["accesses"]}
    queries = [one for one in accesses.values() if one["decision"] is not None]
    narrator.table(
        ("when (UTC)", "who", "what for", "basis", "fields", "outcome"),
        [_row(one) for one in sorted(queries, key=lambda one: -one["index"])[:_SHOWN]],
    )
    _check_api(narrator, accesses, asked, refusals)
    await _check_proof(stage, narrator, citizen, asked[0].logged.index)
    await _check_page(narrator, citizen, [asked[0].inquiry.case, asked[1].inquiry.case])
    records = (await citizen.ask("/v1/me/records"))["records"]
    documents = [one["source"]["document"] or {} for one in records]
    narrator.check(
        any(one.get("number") == ENDED_TAX_DECISION for one in documents),
        f"All {len(records)} of their own records are there, the one that nobody else is shown included.",
    )
    async with Browser(stage.base) as browser:
        neighbour = Citizen(browser, NEIGHBOUR)
        await neighbour.open(f"{stage.base}/accesses")
        theirs = (await neighbour.ask("/v1/me/accesses"))["accesses"]
    narrator.check(
        any(one["rule"] == "RULES 4.3" for one in theirs)
        and not accesses.keys() & {one["index"] for one in theirs},
        f"{NEIGHBOUR.name} sees that the bank tried to ask about them, and nothing of {citizen.person.name}.",
    )


def _check_api(
    narrator: Narrator,
    accesses: dict[int, dict[str, Any]],
    asked: tuple[Consented, Enforced],
    refusals: Sequence[Logged],
) -> None:
    consented, enforced = asked
    for inquiry, logged, kind in (
        (consented.inquiry, consented.logged, "consent"),
        (enforced.inquiry, enforced.logged, "authorization"),
    ):
        seen = accesses.get(logged.index)
        narrator.check(
            seen is not None
            and seen["decision"] == "permitted"
            and seen["released"]
            and seen["body"] is not None
            and seen["officer_role"] is not None
            and seen["purpose"] == inquiry.purpose
            and seen["case_reference"] == inquiry.case
            and seen["basis"]["kind"] == kind
            and set(seen["fields"]) == set(inquiry.fields),
            f"Entry {logged.index:,}: who, when, what for, on which {kind}, and which fields.",
        )
    rules = [accesses.get(one.index, {}).get("rule") for one in refusals]
    narrator.check(
        sorted(map(str, rules)) == sorted(_RULES),
        f"The refused attempts are there too, each with its rule: {', '.join(map(str, rules))}.",
    )


async def _check_proof(stage: Stage, narrator: Narrator, citizen: Citizen, index: int) -> None:
    one = await citizen.ask(f"/v1/me/accesses/{index}")
    receipt = verify_receipt(one["receipt"], stage.log_keys)
    opened = check_opening(receipt.entry, one["opening"])
    narrator.check(
        receipt.index == index and "record_versions" in opened,
        f"Entry {index:,} with its receipt: what the page says is what the log committed to.",
    )


async def _check_page(narrator: Narrator, citizen: Citizen, cases: Iterable[str]) -> None:
    page = await citizen.open("/accesses")
    narrator.check(
        all(case in page.text for case in cases) and "asked about you" in page.text,
        "The page at /accesses says the same in plain words.",
    )


def _row(access: dict[str, Any]) -> tuple[str, ...]:
    body, basis = access["body"] or {}, access["basis"] or {}
    return (
        str(access["time"])[11:19],
        body.get("name", ""),
        access["purpose"] or "",
        basis.get("kind", ""),
        ", ".join(access["fields"]),
        access["rule"] or f"{access['records_shown']} shown",
    )
