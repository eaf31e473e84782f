"""`creditvault decide`: what the rules would say to a query, without asking it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import text

from consent.explain import Draft, Explanation, dry_run
from consent.permit import Route
from vault.server.assembly import Vault
from vault.server.cli.acting import read_json, with_vault
from vault.server.cli.output import AsJson, print_json, print_table

_REFUSED = 1


class _Request(BaseModel):
    """A query as a file or options state it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    body: UUID
    officer: UUID
    purpose: str
    fields: tuple[str, ...]
    case_reference: str
    authorization: UUID | None = None
    consent: UUID | None = None


def decide(
    request: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="The query, a JSON object.")
    ] = None,
    body: Annotated[str | None, typer.Option(help="Who would ask.")] = None,
    officer: Annotated[str | None, typer.Option(help="The officer who would act.")] = None,
    purpose: Annotated[str | None, typer.Option(help="The purpose.")] = None,
    field: Annotated[list[str] | None, typer.Option(help="A field, as FIN.type; repeat for more.")] = None,
    case_reference: Annotated[str | None, typer.Option(help="The body's own reference of the case.")] = None,
    authorization: Annotated[str | None, typer.Option(help="The authorization it would rest on.")] = None,
    consent: Annotated[str | None, typer.Option(help="Or the consent.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show every rule, not the outcome.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether a query would be permitted, and by which rules not. Nothing is asked, logged or charged.

    No person is named: rules that need one are not asked. Exit code 1: it would be refused.

    Example: `creditvault decide request.json --explain`
    """
    options = {
        "body": body,
        "officer": officer,
        "purpose": purpose,
        "fields": field,
        "case_reference": case_reference,
        "authorization": authorization,
        "consent": consent,
    }
    given = read_json(request) if request is not None else {}
    draft = _draft({**given, **{name: value for name, value in options.items() if value is not None}})

    async def work(vault: Vault) -> Explanation:
        now = datetime.now(UTC)
        async with vault.engine.connect() as connection, connection.begin():
            await connection.execute(text("SET TRANSACTION READ ONLY"))
            return await dry_run(
                connection, draft, now=now, today=vault.catalogue.today(now), catalogue=vault.catalogue
            )

    found = with_vault(work)
    if as_json:
        print_json({"refused_by": found.refused_by, **({"rules": found.rules} if explain else {})})
    else:
        _print(found, explain=explain)
    if found.refused_by is not None:
        raise typer.Exit(_REFUSED)


def _draft(given: dict[str, object]) -> Draft:
    try:
        asked = _Request.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        where = ", ".join(sorted({".".join(map(str, fault["loc"])) for fault in faults}))
        raise typer.BadParameter(
            f"missing, or not of its form: {where}; a request has body, officer, purpose, fields, "
            "case_reference, and authorization or consent"
        ) from None
    if (asked.authorization is None) == (asked.consent is None):
        raise typer.BadParameter("a request rests on an authorization or on a consent: name one of the two")
    grant_id = asked.authorization or asked.consent
    assert grant_id is not None  # noqa: S101 -- one of the two is there
    route = Route.STATUTORY if asked.authorization is not None else Route.CONSENTED
    return Draft(
        asked.body, asked.officer, route, grant_id, asked.purpose, asked.fields, asked.case_reference
    )


def _print(found: Explanation, *, explain: bool) -> None:
    if explain:
        print_table(
            ("rule", "outcome", "what it says", "what the body would be told"),
            [(one.rule, one.outcome, one.statement, one.remedy) for one in found.rules],
        )
    if found.refused_by is None:
        typer.echo("would be permitted, as far as no person is needed to say so")
    else:
        typer.echo(f"would be refused by RULES {found.refused_by}")
