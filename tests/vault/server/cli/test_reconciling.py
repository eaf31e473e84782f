"""`creditvault log reconcile`: agreement, differences, and what cannot be read."""

from pathlib import Path

from tests.vault.server.commands import CommandLine
from vault.crypto.journal import UNNAMED, Journal


def test_a_fresh_vault_agrees_and_a_stray_line_does_not(creditvault: CommandLine) -> None:
    document = creditvault.good("log", "reconcile")
    assert (document["agree"], document["receipts"], document["differences"]) == (True, None, [])
    assert document["journal"]["lines"] > 0
    assert creditvault("log", "reconcile").out.splitlines()[-1] == "they agree"
    Journal.of(creditvault.settings.keyring_path).write("root", [(b"any", UNNAMED)])
    ran = creditvault("log", "reconcile")
    assert ran.code == 1
    assert "it was unwrapped, and nothing says what for" in ran.out
    assert "THEY DIFFER" in ran.out
    ran = creditvault("log", "reconcile", "--json")
    assert (ran.code, ran.json()["agree"]) == (1, False)


def test_receipts_that_are_none(creditvault: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts/one.tlog-proof").write_text("none")
    ran = creditvault("log", "reconcile", "--receipts", str(tmp_path / "receipts"))
    assert ran.code == 1
    assert "one.tlog-proof: the receipt does not verify" in ran.out
    refused = creditvault.refused("log", "reconcile", "--receipts", str(tmp_path / "nowhere"))
    assert "there is no receipt and no folder of receipts" in refused
