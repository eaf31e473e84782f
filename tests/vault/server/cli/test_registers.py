"""Registers kept from the command line: bodies, officers, registrars, bases, authorizations."""

import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import typer

from tests.consent.registers import USCC, jwks
from tests.vault.server.commands import CommandLine
from vault.server.cli import acting
from vault.server.portal.fictitious import fictitious_identity

NOBODY = str(uuid4())


@dataclass(frozen=True)
class Office:
    """A registry with a body, a basis and two registrars."""

    command: CommandLine
    folder: Path
    body: str
    basis: str
    registrars: tuple[str, str]

    def key(self, number: int) -> str:
        return str(self.folder / f"registrar-{number}.jwk")

    def signing(self, number: int) -> tuple[str, ...]:
        return ("--registrar", self.registrars[number], "--key", self.key(number))

    def proposal(self, *changes: str) -> tuple[str, ...]:
        return (
            "authorization", "propose", *self.signing(0), "--body", self.body, "--basis", self.basis,
            "--purpose", "court-enforcement", "--field", "FIN.type", "--per-day", "3", *changes,
        )  # fmt: skip

    def third(self) -> str:
        """Another registrar, whom the first orders and the second agrees to."""
        made = self.command.good("registrar", "key", self.key(2))
        ordered = self.command.good(
            "registrar", "add", "--name", "Yu", "--key", made["public"],
            "--registrar", self.registrars[0], "--sign-with", self.key(0),
        )  # fmt: skip
        assert ordered["state"] == "waiting"
        agreed = self.command.good("registrar", "agree", ordered["order"], *self.signing(1))
        return str(agreed["object"])

    def proposed(self) -> str:
        made = self.command.good(*self.proposal("--case", "(2026) No. *"))
        return str(made["authorization"])

    def state(self, authorization_id: str) -> str:
        found = self.command.good("authorization", "list")
        return str(next(one["state"] for one in found if one["authorization_id"] == authorization_id))


def _add_body(command: CommandLine, folder: Path, *more: str) -> str:
    keys = folder / "keys.json"
    keys.write_text(json.dumps(jwks()))
    added = command.good(
        "body", "add", "--name", "Fictitious [bold]Court", "--uscc", USCC, "--kind", "court",
        "--jwks", str(keys),
        "--address", "1 Test Street", "--contact", "privacy@court.example", "--purpose", "court-enforcement",
        *more,
    )  # fmt: skip
    return str(added["body"])


@pytest.fixture
def office(creditvault: CommandLine, tmp_path: Path) -> Office:
    body = _add_body(creditvault, tmp_path)
    basis = creditvault.good(
        "basis", "add", "--code", "enforcement", "--title", "Civil Procedure Law", "--article", "253",
        "--from", "2024-01-01", "--purpose", "court-enforcement", "--category", "FIN",
    )  # fmt: skip
    registrars = []
    for number, name in enumerate(("Anna", "Wei")):
        key = tmp_path / f"registrar-{number}.jwk"
        made = creditvault.good("registrar", "key", str(key))
        added = creditvault.good("registrar", "add", "--name", name, "--key", made["public"])
        registrars.append(str(added["registrar"]))
    return Office(creditvault, tmp_path, body, str(basis["basis"]), (registrars[0], registrars[1]))


def test_a_body_is_added_suspended_reinstated_and_listed(creditvault: CommandLine, tmp_path: Path) -> None:
    body = _add_body(creditvault, tmp_path, "--capacity", "ask", "--capacity", "furnish")
    assert (
        creditvault("body", "suspend", body, "--reason", "under investigation", "--appeal", "court").code == 0
    )
    (one,) = creditvault.good("body", "list")
    assert (one["body_id"], one["status"], one["status_reason"]) == (body, "suspended", "under investigation")
    assert one["capacities"] == ["ask", "furnish"]
    assert creditvault("body", "reinstate", body, "--reason", "appeal upheld").code == 0
    listed = creditvault("body", "list").out
    assert body in listed
    assert "Fictitious [bold]Court" in listed
    assert "active" in listed
    newest = creditvault.good("log", "show", "--last", "3")
    assert [one["type"] for one in newest] == ["authorization"] * 3


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--purpose", "curiosity"), "the catalogue has no such code; use credit-granting"),
        (("--redirect-uri", "http://elsewhere.example/back"), "each redirect URI must be https"),
        (("--capacity", "rule"), "the capacities must be of ask, furnish, inspect"),
        (("--uscc", "91999999MA00000070"), "check its 18 characters"),
        (("--kind", "oracle"), "the catalogue has no such code; use court"),
    ],
)
def test_a_body_that_breaks_a_rule_is_refused(
    creditvault: CommandLine, tmp_path: Path, more: tuple[str, ...], words: str
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(jwks()))
    line = creditvault.refused(
        "body", "add", "--name", "X", "--uscc", USCC, "--kind", "bank", "--jwks", str(keys),
        "--address", "1", "--contact", "x@example.org", *more,
    )  # fmt: skip
    assert words in line
    assert creditvault.good("body", "list") == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "is not a JSON object"),
        (b"[]", "is not a JSON object"),
        (b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "a private one that was sent is secret no more"),
    ],
)
def test_keys_that_are_none_are_refused(
    creditvault: CommandLine, tmp_path: Path, content: bytes, words: str
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(content)
    line = creditvault.refused(
        "body", "add", "--name", "X", "--uscc", USCC, "--kind", "bank", "--jwks", str(keys),
        "--address", "1", "--contact", "x@example.org",
    )  # fmt: skip
    assert words in line
    assert "c2VjcmV0" not in line


def test_keys_are_replaced_by_value_and_by_address(creditvault: CommandLine, tmp_path: Path) -> None:
    body = _add_body(creditvault, tmp_path)
    both = tmp_path / "both.jwks"
    both.write_text(json.dumps(jwks("one", "two")))
    assert creditvault.good("body", "keys", body, "--jwks", str(both))["kids"] == ["one", "two"]
    (one,) = creditvault.good("body", "list")
    assert [key["kid"] for key in one["jwks"]["keys"]] == ["one", "two"]
    assert "signs with one, two" in creditvault("body", "keys", body, "--jwks", str(both)).out
    with served_jwks(jwks("three")) as uri:
        assert creditvault.good("body", "keys", body, "--jwks-uri", uri)["kids"] == ["three"]
    (one,) = creditvault.good("body", "list")
    assert one["jwks_uri"] == uri
    assert "cannot be reached" in creditvault.refused("body", "keys", body, "--jwks-uri", uri)


def test_keys_that_are_nowhere_are_refused(creditvault: CommandLine, tmp_path: Path) -> None:
    body = _add_body(creditvault, tmp_path)
    for options, words in (
        ((), "either the keys or their address"),
        (("--jwks", str(tmp_path / "keys.json"), "--jwks-uri", "https://a.example"), "either the keys"),
        (("--jwks-uri", "http://192.0.2.1/jwks"), "it must be https"),
        (("--jwks-uri", "https://192.0.2.1/jwks"), "not of the public internet"),
    ):
        assert words in creditvault.refused("body", "keys", body, *options)
    assert "no body is registered" in creditvault.refused(
        "body", "keys", NOBODY, "--jwks", str(tmp_path / "keys.json")
    )


@contextmanager
def served_jwks(document: dict[str, Any]) -> Iterator[str]:
    """A web server on this machine that publishes a key set."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks"
        server.shutdown()
        thread.join()


def test_what_is_in_no_register_is_refused(creditvault: CommandLine) -> None:
    assert "no body is registered" in creditvault.refused("body", "suspend", NOBODY, "--reason", "x")
    line = creditvault.refused("officer", "add", "--body", NOBODY, "--name", "Li", "--role", "clerk")
    assert "no body is registered" in line


def test_an_act_out_of_order_is_refused(creditvault: CommandLine, tmp_path: Path) -> None:
    body = _add_body(creditvault, tmp_path)
    line = creditvault.refused("body", "reinstate", body, "--reason", "x")
    assert "a body that is active cannot become active" in line


def test_an_officer_is_added_and_listed(office: Office) -> None:
    command = office.command
    officer = command.good("officer", "add", "--body", office.body, "--name", "Li", "--role", "judge")
    (one,) = command.good("officer", "list", "--body", office.body)
    assert (one["officer_id"], one["role"], one["status"]) == (officer["officer"], "judge", "active")
    assert "judge" in command("officer", "list", "--body", office.body).out


def test_a_registrars_key_is_private_and_never_written_over(office: Office) -> None:
    key = Path(office.key(0))
    assert key.stat().st_mode & 0o777 == 0o600
    assert "d" in json.loads(key.read_text())
    assert "d" not in json.loads(Path(f"{key}.pub").read_text())
    before = key.read_text()
    assert "File exists" in office.command.refused("registrar", "key", str(key))
    assert key.read_text() == before


def test_a_registrar_is_registered_by_the_public_key_alone(creditvault: CommandLine, tmp_path: Path) -> None:
    made = creditvault.good("registrar", "key", str(tmp_path / "anna.jwk"))
    creditvault.good("registrar", "add", "--name", "Anna", "--key", made["public"])
    line = creditvault.refused("registrar", "add", "--name", "Eve", "--key", made["private"])
    assert "public" in line
    line = creditvault.refused("registrar", "add", "--name", "Eve", "--key", made["public"])
    assert "registered already" in line
    assert [one["name"] for one in creditvault.good("registrar", "list")] == ["Anna"]
    assert "Anna" in creditvault("registrar", "list").out


def test_a_basis_is_listed(office: Office) -> None:
    (one,) = office.command.good("basis", "list")
    assert (one["basis_id"], one["code"], one["in_force_from"]) == (office.basis, "enforcement", "2024-01-01")
    assert "Civil Procedure Law" in office.command("basis", "list").out


def test_a_basis_of_unknown_categories_is_refused(creditvault: CommandLine) -> None:
    line = creditvault.refused(
        "basis", "add", "--code", "x", "--title", "x", "--article", "1", "--from", "2024-01-01",
        "--purpose", "court-enforcement", "--category", "ZZZ",
    )  # fmt: skip
    assert "the catalogue has no such code" in line


def test_one_registrar_proposes_another_approves_and_it_is_revoked(office: Office) -> None:
    command = office.command
    proposed = office.proposed()
    assert office.state(proposed) == "proposed"
    assert "who proposed an authorization cannot approve it" in command.refused(
        "authorization", "approve", proposed, *office.signing(0)
    )
    approved = command("authorization", "approve", proposed, *office.signing(1))
    assert approved.code == 0
    assert '"FIN.type"' in approved.out  # whoever signs has seen the terms
    assert office.state(proposed) == "approved"
    revoked = command("authorization", "revoke", proposed, "--reason", "case closed", *office.signing(1))
    assert revoked.code == 0
    assert office.state(proposed) == "revoked"
    assert proposed in command("authorization", "list", "--body", office.body).out


def test_an_operator_revokes_without_a_signature(office: Office) -> None:
    proposed = office.proposed()
    assert office.command("authorization", "revoke", proposed, "--reason", "stop").code == 0
    assert office.state(proposed) == "revoked"
    line = office.command.refused(
        "authorization", "revoke", proposed, "--reason", "x", "--key", office.key(0)
    )
    assert "name the registrar and the key, or neither" in line


@pytest.mark.parametrize("answer", [True, False])
def test_on_a_terminal_the_approver_is_asked(
    office: Office, monkeypatch: pytest.MonkeyPatch, *, answer: bool
) -> None:
    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    asked: list[str] = []

    def confirm(question: str, *, abort: bool) -> None:
        asked.append(question)
        if abort and not answer:
            raise typer.Abort

    proposed = office.proposed()
    monkeypatch.setattr("vault.server.cli.authorization.sys.stdin", Terminal())
    monkeypatch.setattr(typer, "confirm", confirm)
    ran = office.command("authorization", "approve", proposed, *office.signing(1))
    assert asked == ["Approve exactly these terms?"]
    assert ran.code == (0 if answer else 130)
    assert office.state(proposed) == ("approved" if answer else "proposed")


def test_an_authorization_says_whom_it_reaches(office: Office) -> None:
    for whom in ((), ("--anybody", "--case", "x")):
        line = office.command.refused(*office.proposal(*whom))
        assert "name one of --case, --persons and --anybody" in line
    made = office.command.good(*office.proposal("--anybody"))
    assert office.state(made["authorization"]) == "proposed"


def test_named_persons_come_from_a_file_and_are_stored_as_keyed_hashes(office: Office) -> None:
    number, _ = fictitious_identity(1)
    persons = office.folder / "persons"
    persons.write_text(f"demo-id {number}\n\ndemo-id {number.lower()}\n")
    made = office.command.good(*office.proposal("--persons", str(persons)))
    listed = office.command("authorization", "list", "--json").out
    scope = next(one for one in json.loads(listed) if one["authorization_id"] == made["authorization"])[
        "terms"
    ]["scope"]
    assert len(scope["subjects"]) == 1
    assert number not in listed


@pytest.mark.parametrize("content", ["", "demo-id", "990000195009060016", "demo-id 990000195009060016\nx"])
def test_a_file_that_names_nobody_is_refused(office: Office, content: str) -> None:
    persons = office.folder / "persons"
    persons.write_text(content)
    assert "on each line" in office.command.refused(*office.proposal("--persons", str(persons)))


def test_a_wrong_identity_number_is_refused_and_not_repeated(office: Office) -> None:
    persons = office.folder / "persons"
    persons.write_text("demo-id 990000195009060011")
    line = office.command.refused(*office.proposal("--persons", str(persons)))
    assert "check-digit" in line
    assert "990000195009060011" not in line


def test_fields_and_purposes_must_be_the_catalogues(office: Office) -> None:
    line = office.command.refused(*office.proposal("--anybody", "--field", "FIN.typo"))
    assert "the catalogue has no such code" in line
    line = office.command.refused(*office.proposal("--anybody", "--purpose", "curiosity"))
    assert "the catalogue has no such code" in line


def test_a_key_that_others_can_read_signs_nothing(office: Office) -> None:
    Path(office.key(0)).chmod(0o644)
    line = office.command.refused(*office.proposal("--anybody"))
    assert f"chmod 600 {office.key(0)}" in line


def test_another_registrars_key_signs_nothing(office: Office) -> None:
    arguments = list(office.proposal("--anybody"))
    arguments[arguments.index(office.key(0))] = office.key(1)
    assert "another key" in office.command.refused(*arguments)


def test_what_is_not_proposed_cannot_be_approved(office: Office) -> None:
    line = office.command.refused("authorization", "approve", NOBODY, *office.signing(1))
    assert "there is no such authorization" in line


def test_the_operator_is_whom_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert acting.operator().name == f"operator:{pwd.getpwuid(os.getuid()).pw_name}"

    def nameless(_user: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nameless)
    assert acting.operator().name == f"operator:{os.getuid()}"


def test_a_conduct_file_holds_warnings_violations_and_every_change_of_status(
    creditvault: CommandLine, tmp_path: Path
) -> None:
    command, body = creditvault, _add_body(creditvault, tmp_path)
    assert command("body", "mark", body, "--reason", "asked without a case").code == 0
    marked = ("--kind", "violation", "--reason", "sold an answer", "--appeal", "the regulator")
    assert command("body", "mark", body, *marked).code == 0
    (one,) = command.good("body", "list")
    assert one["status"] == "active"
    assert command("body", "strike-off", body, "--reason", "sold answers").code == 0
    file = command.good("body", "conduct", body)
    assert [(one["event"], one["reason"], one["appeal"]) for one in file] == [
        ("body.registered", None, None),
        ("body.warned", "asked without a case", None),
        ("body.violation_found", "sold an answer", "the regulator"),
        ("body.struck_off", "sold answers", None),
    ]
    assert all(one["actor"].startswith("operator:") for one in file)
    assert "sold an answer" in command("body", "conduct", body).out
    newest = command.good("log", "show", "--last", "3")
    assert [one["type"] for one in newest] == ["authorization"] * 3
    assert "cannot become" in command.refused("body", "reinstate", body, "--reason", "x")
    assert "no body" in command.refused("body", "mark", NOBODY, "--reason", "x")
    assert "reason" in command.refused("body", "mark", body, "--reason", " ")


def test_officers_registrars_and_bases_end(office: Office) -> None:
    command = office.command
    added = command.good("officer", "add", "--body", office.body, "--name", "Li", "--role", "judge")
    assert command("officer", "end", added["officer"], "--reason", "left").code == 0
    (officer,) = command.good("officer", "list", "--body", office.body)
    assert officer["status"] == "stood-down"
    assert "already" in command.refused("officer", "end", added["officer"], "--reason", "left")
    proposed = office.proposed()
    ending = ("registrar", "end", office.registrars[1], "--reason", "left")
    assert "two registrars must always be left" in command.refused(*ending)
    office.third()
    assert command(*ending).code == 0
    statuses = {one["registrar_id"]: one["status"] for one in command.good("registrar", "list")}
    assert statuses[office.registrars[1]] == "stood-down"
    command.refused("authorization", "approve", proposed, *office.signing(1))
    assert office.state(proposed) == "proposed"
    ended = ("basis", "end", office.basis, "--last-day", "2027-12-31", "--reason", "repealed")
    assert command(*ended).code == 0
    (basis,) = command.good("basis", "list")
    assert basis["in_force_until"] == "2027-12-31"


def test_what_ends_soon_is_listed(office: Office) -> None:
    command = office.command
    proposed = office.proposed()
    assert command.good("expiring", "--days", "3660") == []
    assert command("authorization", "approve", proposed, *office.signing(1)).code == 0
    assert command.good("expiring") == []
    (one,) = command.good("expiring", "--days", "3660")
    assert (one["kind"], one["id"], one["what"]) == ("authorization", proposed, "Fictitious [bold]Court")
    soon = (datetime.now(UTC) + timedelta(days=5)).date().isoformat()
    assert command("basis", "end", office.basis, "--last-day", soon, "--reason", "repealed").code == 0
    (basis,) = command.good("expiring")
    assert (basis["kind"], basis["what"], basis["ends"]) == ("legal basis", "enforcement", soon)
    assert "enforcement" in command("expiring").out
    assert command("authorization", "revoke", proposed, *office.signing(0), "--reason", "over").code == 0
    assert [one["kind"] for one in command.good("expiring", "--days", "3660")] == ["legal basis"]
