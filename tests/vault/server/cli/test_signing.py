"""Four eyes from the command line: what two registrars must do, no shell and no one registrar does alone."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.consent.registers import USCC, jwks
from tests.vault.people import enrol, person
from tests.vault.server.commands import CommandLine
from vault.server.assembly import open_vault
from vault.server.portal.fictitious import fictitious_identity

SIXTEEN = "91999999MA00000268"


@dataclass(frozen=True)
class Registry:
    """A vault that was set up: a suspended body and two registrars."""

    command: CommandLine
    folder: Path
    body: str
    registrars: tuple[str, str]

    def signing(self, number: int, key: int | None = None) -> tuple[str, ...]:
        file = self.folder / f"{number if key is None else key}.jwk"
        return ("--registrar", self.registrars[number], "--key", str(file))

    def file(self, name: str, content: Any) -> str:
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def signed(self, act: dict[str, Any], number: int = 0, vault: str | None = None) -> str:
        """A file with a statement, signed where there is no vault."""
        issuer = vault or self.command.settings.issuer
        ran = self.command(
            "registrar", "sign", self.file("act.json", act), *self.signing(number), "--vault", issuer
        )
        assert ran.code == 0, ran.err
        return self.file(f"{uuid4()}.jws", ran.out)


@pytest.fixture
def registry(creditvault: CommandLine, tmp_path: Path) -> Registry:
    (tmp_path / "keys.json").write_text(json.dumps(jwks()))
    body = creditvault.good(
        "body", "add", "--name", "Fictitious Bank", "--uscc", USCC, "--kind", "bank",
        "--jwks", str(tmp_path / "keys.json"), "--address", "1", "--contact", "x@example.org",
    )["body"]  # fmt: skip
    assert creditvault("body", "suspend", body, "--reason", "an audit").code == 0
    made = []
    for number, name in enumerate(("Anna", "Wei")):
        public = creditvault.good("registrar", "key", str(tmp_path / f"{number}.jwk"))["public"]
        made.append(creditvault.good("registrar", "add", "--name", name, "--key", public)["registrar"])
    return Registry(creditvault, tmp_path, body, (made[0], made[1]))


def test_what_one_registrar_orders_another_agrees_to(registry: Registry) -> None:
    command = registry.command
    act = {"do": "reinstate-body", "body": registry.body, "reason": "it passed"}
    ordered = command.good("registrar", "hand-in", registry.signed(act))
    assert (ordered["state"], ordered["object"]) == ("waiting", None)
    order = ordered["id"]
    # The same registrar; and either with the other's key.
    for number, key, words in (
        (0, 0, "who ordered an act cannot agree to it"),
        (0, 1, "another key than the registrar's registered one"),
        (1, 0, "another key than the registrar's registered one"),
    ):
        assert words in command("registrar", "agree", order, *registry.signing(number, key)).err
    assert order in command("registrar", "orders").out
    assert command.good("registrar", "agree", order, *registry.signing(1))["state"] == "done"
    assert "does not wait" in command("registrar", "agree", order, *registry.signing(1)).err
    assert command.good("body", "list")[0]["status"] == "active"
    assert command.good("registrar", "orders") == []


def test_no_shell_does_an_act_of_weight_once_two_registrars_are_registered(registry: Registry) -> None:
    command, body = registry.command, registry.body
    contact = ("--address", "1", "--contact", "x@example.org")
    keys = str(registry.folder / "keys.json")
    for arguments in (
        ("body", "add", "--name", "B", "--uscc", SIXTEEN, "--kind", "bank", "--jwks", keys, *contact),
        ("body", "certify", body, "--capacity", "furnish", "--reason", "more"),
        ("body", "amend", body, "--name", "Other", *contact),
        ("body", "keys", body, "--jwks", keys),
        ("body", "reinstate", body, "--reason", "it passed"),
        ("body", "strike-off", body, "--reason", "sold data"),
        (
            "basis", "add", "--code", "law", "--title", "Law", "--article", "1", "--from", "2024-01-01",
            "--purpose", "court-enforcement", "--category", "FIN",
        ),
        ("registrar", "add", "--name", "Eve", "--key", str(registry.folder / "0.jwk.pub")),
    ):  # fmt: skip
        assert "two registrars are registered, and this act is theirs" in command.refused(*arguments)
    (one,) = command.good("body", "list")
    assert (one["status"], one["name"], one["capacities"]) == ("suspended", "Fictitious Bank", ["ask"])


def test_an_operator_stops_and_marks_at_once(registry: Registry) -> None:
    command, body = registry.command, registry.body
    assert command("body", "mark", body, "--reason", "asked without a case").code == 0
    assert command("body", "narrow", body, "--capacity", "ask", "--reason", "limited").code == 0
    assert "would widen" in command.refused("body", "narrow", body, "--capacity", "furnish", "--reason", "x")
    waiting = command.good("body", "reinstate", body, "--reason", "it passed", *registry.signing(0))
    assert waiting["state"] == "waiting"
    dropped = registry.signed({"do": "drop-order", "order": waiting["order"], "reason": "too early"}, 1)
    assert command.good("registrar", "hand-in", dropped)["state"] == "done"
    ran = command("registrar", "agree", waiting["order"], *registry.signing(1))
    assert "does not wait for anybody" in ran.err


def test_a_statement_counts_once_and_for_its_own_vault(registry: Registry) -> None:
    command = registry.command
    act = {"do": "mark-body", "body": registry.body, "reason": "late"}
    statement = registry.signed(act)
    assert command.good("registrar", "hand-in", statement)["state"] == "done"
    assert "a statement counts once" in command.refused("registrar", "hand-in", statement)
    elsewhere = registry.signed(act, vault="https://other.example")
    assert "for another vault" in command.refused("registrar", "hand-in", elsewhere)
    assert "not a signed statement" in command.refused(
        "registrar", "hand-in", registry.file("junk.jws", "a.b.c")
    )
    head, payload, signature = Path(statement).read_text().strip().split(".")
    edited = registry.file("edited.jws", f"{head}.{payload[:-4]}AAAA.{signature}")
    command.refused("registrar", "hand-in", edited)


def test_an_act_that_is_none_is_not_signed(registry: Registry) -> None:
    suspend = {"do": "suspend-body", "body": str(uuid4()), "reason": "y"}
    for act, words in (
        ({"do": "rule"}, "mend it at"),
        ({**suspend, "body": "x"}, "`$.body`"),
        ({**suspend, "more": 1}, "mend it at"),
        (suspend, "name the vault"),
    ):
        line = registry.command.refused(
            "registrar", "sign", registry.file("act.json", act), *registry.signing(0)
        )
        assert words in line


def test_a_vault_that_is_not_there_is_named(registry: Registry) -> None:
    act = registry.file("act.json", {"do": "mark-body", "body": registry.body, "reason": "late"})
    for server, words in (
        ("http://127.0.0.1:1", "no vault answers at http://127.0.0.1:1"),
        ("http://vault.example", "it must be https"),
    ):
        line = registry.command.refused("registrar", "sign", act, *registry.signing(0), "--server", server)
        assert words in line


def test_a_person_is_erased_by_two_registrars_and_an_operator(registry: Registry) -> None:
    command, person = registry.command, _somebody(registry.command)
    why = ("--basis", "PIPL 47", "--reason", "asked for it")
    ordered = command.good("erase", "order", str(person), *why, "--with-log", *registry.signing(0))
    order = ordered["order"]
    assert "waits for another registrar" in command.refused("erase", "carry-out", order)
    assert command.good("registrar", "agree", order, *registry.signing(1))["state"] == "done"
    who = registry.file("person.txt", f"demo-id {fictitious_identity(1)[0]}\n")
    hold = command.good("hold", "place", "--person", who, "--reason", "a suit", "--reference", "order 7")
    assert "a legal hold stands" in command.refused("erase", "carry-out", order)
    assert command("hold", "lift", hold["hold"]).code == 0
    file = registry.folder / "erased.jws"
    assert "the certificate is in" in command("erase", "carry-out", order, "--certificate", str(file)).out
    says = command("erase", "carry-out", order, "--json").json()
    assert (says["order"], says["person"]) == (order, str(person))
    assert says["log"]["payloads"] == "erased"
    # The same certificate, however often it is asked for.
    assert command("erase", "carry-out", order).out.strip() == file.read_text()
    assert command.good("log", "fsck")["sound"]
    assert command.good("log", "audit-streams")["sound"]
    assert command.good("log", "endings")["kinds"]["person_erased_with_log"] == 1


def _somebody(command: CommandLine) -> UUID:
    """A person with a record."""

    async def met() -> UUID:
        async with open_vault(command.settings, str(command.settings.database_url)) as vault:
            await enrol(vault, uuid4(), 1)
            return (await person(vault, 1)).person.subject_id

    return asyncio.run(met())
