"""`creditvault flags list`."""

import asyncio

from tests.vault.server.commands import CommandLine
from vault.records.flags import raise_flags
from vault.records.watch import MANY_PERSONS, Flag
from vault.server.assembly import open_vault

BODY, OFFICER = "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11", "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11"


def test_flags_are_listed(creditvault: CommandLine) -> None:
    async def raised() -> None:
        assert creditvault.settings.database_url is not None
        async with open_vault(creditvault.settings, creditvault.settings.database_url) as vault:
            await raise_flags(vault.log, [Flag(MANY_PERSONS, BODY, OFFICER, (3, 4), 2)])

    assert creditvault.good("flags", "list") == []
    asyncio.run(raised())
    (flag,) = creditvault.good("flags", "list")
    assert flag["flag"] == {
        "kind": MANY_PERSONS,
        "body": BODY,
        "officer": OFFICER,
        "entries": [3, 4],
        "count": 2,
    }
    table = creditvault("flags", "list").out
    assert MANY_PERSONS in table
    assert OFFICER in table
    assert creditvault.good("flags", "list", "--after", str(flag["index"])) == []
