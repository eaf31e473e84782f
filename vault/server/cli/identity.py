"""`creditvault identity`: which identities are one person's, by order of two registrars."""

import hashlib
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from consent import merging
from consent.acts import MergePersons, SplitPerson
from consent.merging import MergeEvent
from vault.records.joining import JoinedSubjects
from vault.server.assembly import Vault
from vault.server.cli.acting import read_json, with_vault
from vault.server.cli.ordering import ordered, say
from vault.server.cli.output import AsJson, examples, print_json, print_table
from vault.server.cli.signing import KeyFile, RegistrarId, Signing

app = typer.Typer(
    no_args_is_help=True,
    help="Merge identities that are one person's, and take apart what was merged wrongly.",
    epilog=examples(
        "creditvault identity merge ONE OTHER --reason number-replaced --document d.pdf"
        " --registrar R --key R.jwk",
        "creditvault identity split ONE --reason merged-wrongly --document d.pdf --registrar R --key R.jwk",
        "creditvault identity show ONE",
    ),
)

Reason = Annotated[str, typer.Option(help="A code in lower case, for instance number-replaced.")]
Document = Annotated[
    Path, typer.Option(exists=True, dir_okay=False, help="What shows it; only its SHA-256 is kept.")
]


@app.command()
def merge(
    person: Annotated[UUID, typer.Argument(metavar="ONE", help="Id of one identity.")],
    other: Annotated[UUID, typer.Argument(metavar="OTHER", help="Id of the other.")],
    reason: Reason,
    document: Document,
    registrar: RegistrarId,
    key: KeyFile,
    as_json: AsJson = False,
) -> None:
    """Order that two identities are one person's; another registrar agrees.

    Nothing is moved: each keeps its records, consents and log, and a split loses nothing. But from then on a
    query under either number opens the records of both, and whoever signs in under either sees both.

    Example: `creditvault identity merge ONE OTHER --reason number-replaced --document d.pdf ...`
    """
    act = MergePersons(person=person, other=other, reason=reason, document_sha256=_sha256(document))
    say(ordered(act, Signing(registrar, read_json(key))), "person", "merged with {}", as_json=as_json)


@app.command()
def split(
    person: Annotated[UUID, typer.Argument(metavar="ONE", help="Id of the identity to take out.")],
    reason: Reason,
    document: Document,
    registrar: RegistrarId,
    key: KeyFile,
    as_json: AsJson = False,
) -> None:
    """Order that an identity is taken apart from those it was merged with; another registrar agrees.

    What came to each while they were merged stays where it came to.

    Example: `creditvault identity split ONE --reason merged-wrongly --document d.pdf ...`
    """
    act = SplitPerson(person=person, reason=reason, document_sha256=_sha256(document))
    say(ordered(act, Signing(registrar, read_json(key))), "person", "split off {}", as_json=as_json)


@app.command()
def show(
    person: Annotated[UUID, typer.Argument(metavar="ONE", help="Id of an identity.")], as_json: AsJson = False
) -> None:
    """Show which identities are merged with this one, and its history of merges and splits.

    Example: `creditvault identity show 4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11`
    """

    async def work(vault: Vault) -> tuple[list[UUID], list[MergeEvent]]:
        async with vault.engine.connect() as connection:
            members = await JoinedSubjects().members(connection, person)
            return [one.subject_id for one in members], await merging.history(connection, person)

    members, history = with_vault(work)
    if not members and not history:
        raise typer.BadParameter("the vault knows nobody under this id", param_hint="ONE")
    if as_json:
        print_json({"joined": members[1:], "history": history})
        return
    others = ", ".join(map(str, members[1:]))
    typer.echo(f"merged with {others}" if others else "merged with no other identity")
    if history:
        print_table(
            ("what", "whom", "order", "reason", "document", "when", "entry"),
            [
                (
                    one.event,
                    one.others,
                    one.order_id,
                    one.reason,
                    one.document_sha256,
                    f"{one.at:%Y-%m-%d %H:%M}",
                    one.entry_index,
                )
                for one in history
            ],
        )


def _sha256(document: Path) -> str:
    with document.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
