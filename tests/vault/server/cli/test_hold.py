"""`creditvault hold` and `creditvault retention`."""

import asyncio
from pathlib import Path
from uuid import uuid4

from consent.bodies import add_body
from tests.consent.registers import OPERATOR, new_body
from tests.vault.people import ENROLLED, UNKNOWN, enrol
from tests.vault.server.commands import CommandLine
from vault.server.assembly import open_vault
from vault.server.portal.fictitious import fictitious_identity

WHY = ("--reason", "claim for damages", "--reference", "order 17")


def test_a_hold_is_placed_listed_and_lifted(creditvault: CommandLine, tmp_path: Path) -> None:
    async def enrolled() -> None:
        assert creditvault.settings.database_url is not None
        async with open_vault(creditvault.settings, creditvault.settings.database_url) as vault:
            async with vault.log.writing() as writing:
                body = await add_body(writing, new_body(), OPERATOR)
            await enrol(vault, body, ENROLLED)

    asyncio.run(enrolled())
    person, stranger = tmp_path / "person.txt", tmp_path / "stranger.txt"
    person.write_text(f"demo-id {fictitious_identity(ENROLLED)[0]}\n")
    stranger.write_text(f"demo-id {fictitious_identity(UNKNOWN)[0]}\n")
    placed = creditvault.good("hold", "place", "--person", str(person), *WHY)["hold"]
    assert "stands on it already" in creditvault.refused("hold", "place", "--person", str(person), *WHY)
    assert "knows nobody" in creditvault.refused("hold", "place", "--person", str(stranger), *WHY)
    assert "no such case" in creditvault.refused("hold", "place", "--case", str(uuid4()), *WHY)
    assert "name one of" in creditvault.refused("hold", "place", *WHY)
    (listed,) = creditvault.good("hold", "list", "--standing")
    assert (listed["hold_id"], listed["order"]["reference"], listed["lifted_at"]) == (
        placed,
        "order 17",
        None,
    )
    assert "claim for damages" in creditvault("hold", "list").out
    assert creditvault("hold", "lift", placed).code == 0
    assert "no such hold stands" in creditvault.refused("hold", "lift", placed)
    assert creditvault.good("hold", "list", "--standing") == []


def test_the_table_of_retention(creditvault: CommandLine) -> None:
    rules = {one["name"]: one for one in creditvault.good("retention")}
    assert rules["payloads"]["kept"] == "10 years, to the end of the month"
    assert (rules["consents"]["due"], rules["operator_log"]["due"]) == (0, None)
    assert "pushed_requests" in creditvault("retention").out
