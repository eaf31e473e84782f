"""A registrar signs: the private key stays on this machine, the statement goes to a vault."""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import typer

from consent.statements import (
    Agreement,
    Asking,
    Naming,
    Numbered,
    Order,
    Scoping,
    Statement,
    content_digest,
    sign_statement,
)
from vault.errors import VaultError
from vault.server.cli.acting import read_json

RegistrarId = Annotated[UUID, typer.Option("--registrar", help="Id of the registrar who signs.")]
KeyFile = Annotated[
    Path, typer.Option("--key", exists=True, dir_okay=False, help="The registrar's private key, a JWK.")
]
MaybeRegistrar = Annotated[
    UUID | None, typer.Option("--registrar", help="Id of the registrar who orders it; with --key.")
]
MaybeKey = Annotated[
    Path | None,
    typer.Option("--key", exists=True, dir_okay=False, help="That registrar's private key, a JWK."),
]
Server = Annotated[
    str | None, typer.Option(help="Issuer of a vault elsewhere, as https://vault.example; or this one.")
]
_SECONDS: Final = 30.0
_HERE: Final = ("127.0.0.1", "::1", "localhost")


class NotSentError(VaultError):
    """A vault elsewhere did not take a statement."""


@dataclass(frozen=True, slots=True)
class Signing:
    """A registrar with their private key."""

    registrar_id: UUID
    private: Mapping[str, Any]

    def sign(self, statement: Statement) -> str:
        """The statement as a compact JWS."""
        return sign_statement(self.private, statement)

    def order(self, issuer: str, content: str) -> str:
        """Orders an act, given as JSON."""
        return self.sign(Order.of(issuer, uuid4(), self.registrar_id, datetime.now(UTC), content))

    def agree(self, issuer: str, order: UUID, content: str) -> str:
        """Agrees to an order of this content."""
        return self.sign(
            Agreement(
                vault=issuer,
                order=order,
                registrar=self.registrar_id,
                at=datetime.now(UTC),
                content_sha256=content_digest(content),
            )
        )

    def ask(self, issuer: str, what: str, of: UUID | None = None) -> str:
        """Asks for a register."""
        return self.sign(
            Asking(
                vault=issuer,
                id=uuid4(),
                registrar=self.registrar_id,
                at=datetime.now(UTC),
                what=what,
                of=of,
            )
        )

    def name(self, issuer: str, scheme: str, number: str) -> str:
        """Asks under which id a person is known."""
        return self.sign(
            Naming(
                vault=issuer,
                id=uuid4(),
                registrar=self.registrar_id,
                at=datetime.now(UTC),
                scheme=scheme,
                number=number,
            )
        )

    def scope(self, issuer: str, persons: Sequence[tuple[str, str]]) -> str:
        """Asks for the hashes by which an authorization names persons, given as (scheme, number)."""
        return self.sign(
            Scoping(
                vault=issuer,
                id=uuid4(),
                registrar=self.registrar_id,
                at=datetime.now(UTC),
                persons=tuple(Numbered(*person) for person in persons),
            )
        )


def signing(registrar_id: UUID, key: Path) -> Signing:
    """A registrar who signs with the key of this file, if it is theirs alone."""
    if stat.S_IMODE(key.stat().st_mode) & 0o077:
        raise typer.BadParameter(f"others can read {key}: chmod 600 {key}", param_hint="--key")
    return Signing(registrar_id, read_json(key))


def maybe_signing(registrar_id: UUID | None, key: Path | None) -> Signing | None:
    """The same where both may be left out."""
    if registrar_id is None or key is None:
        if registrar_id is not None or key is not None:
            raise typer.BadParameter("name the registrar and the key, or neither", param_hint="--key")
        return None
    return signing(registrar_id, key)


def send(server: str, path: str, compact: str) -> dict[str, Any]:
    """Hands a statement to a vault elsewhere.

    Args:
        server: its issuer.
        path: below `/v1/registers/`.
        compact: the statement.

    Raises:
        NotSentError: it cannot be reached, or does not take the statement; the message is the vault's.
    """
    parts = urlsplit(server)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
        raise typer.BadParameter("it must be https://host, or http on this machine", param_hint="--server")
    try:
        response = httpx.post(
            f"{server}/v1/registers/{path}", json={"statement": compact}, timeout=_SECONDS, trust_env=False
        )
        answer: object = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise NotSentError(f"no vault answers at {server}: check the address, then sign again") from error
    if not response.is_success or not isinstance(answer, dict):
        said = answer.get("detail") if isinstance(answer, dict) else None
        raise NotSentError(f"the vault did not take it ({response.status_code}): {said or 'it says not why'}")
    return answer
