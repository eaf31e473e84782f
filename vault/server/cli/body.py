"""Commands about bodies."""

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from consent import acts, bodies, conduct
from consent.bodies import Body
from consent.body_keys import public_keys
from consent.conduct import Conduct, Mark, Outcome
from consent.oauth.errors import KeysNotFetchedError
from consent.oauth.jwks_uri import PublishedKeys
from vault.records.quality import QualityMonth, months_of
from vault.server.assembly import Vault
from vault.server.cli.acting import read_json, with_vault
from vault.server.cli.ordering import ordered, say
from vault.server.cli.output import AsJson, examples, print_json, print_table
from vault.server.cli.signing import MaybeKey, MaybeRegistrar, maybe_signing

app = typer.Typer(
    no_args_is_help=True,
    help="Bodies: who may ask, furnish or inspect.",
    epilog=examples("creditvault body list", 'creditvault body suspend BODY --reason "under investigation"'),
)
BodyId = Annotated[UUID, typer.Argument(metavar="BODY", help="Id of the body.")]
Jwks = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Its public keys, a JWK Set.")]
JwksUri = Annotated[str | None, typer.Option(help="Where it publishes its keys, in place of --jwks.")]
_MONTHS = 24
Reason = Annotated[str, typer.Option(help="Why; stands in the register.")]
Appeal = Annotated[str | None, typer.Option(help="Where to appeal.")]


@app.command()
def add(
    name: Annotated[str, typer.Option(help="Its name.")],
    uscc: Annotated[str, typer.Option(help="Unified social credit code, 18 characters (GB 32100).")],
    kind: Annotated[str, typer.Option(help="Kind of body, as the catalogue names it: bank, court, …")],
    address: Annotated[str, typer.Option(help="Its address, for citizens.")],
    contact: Annotated[str, typer.Option(help="Its contact, for citizens.")],
    purpose: Annotated[list[str], typer.Option(help="A certified purpose; repeat for more.")] = [],  # noqa: B006 -- read, never changed -- Typer copies it
    capacity: Annotated[list[str], typer.Option(help="ask, furnish, inspect or desk; repeat.")] = ["ask"],  # noqa: B006 -- read, never changed
    redirect_uri: Annotated[list[str], typer.Option(help="Where people are sent back to.")] = [],  # noqa: B006 -- read, never changed
    jwks: Jwks = None,
    jwks_uri: JwksUri = None,
    registrar: MaybeRegistrar = None,
    key: MaybeKey = None,
    as_json: AsJson = False,
) -> None:
    """Register a body, with its keys (--jwks) or with where it publishes them (--jwks-uri).

    Once two registrars are registered, one orders it with --registrar and --key, and another agrees.

    Example: `creditvault body add --name "Second Bank" --uscc 91999999MA00000079 --kind bank
    --jwks keys.json --address "1 Road" --contact privacy@bank.example --purpose credit-granting`
    """
    signing = maybe_signing(registrar, key)

    async def make(vault: Vault) -> acts.Act:
        return acts.AdmitBody(
            uscc=uscc,
            name=name,
            kind=kind,
            address=address,
            contact=contact,
            jwks=await _keys(vault, jwks, jwks_uri),
            redirect_uris=tuple(redirect_uri),
            purposes=tuple(purpose),
            capacities=tuple(capacity),
            jwks_uri=jwks_uri,
        )

    say(ordered(make, signing), "body", f"registered {name} as {{}}", as_json=as_json)


@app.command()
def keys(
    body: BodyId,
    jwks: Jwks = None,
    jwks_uri: JwksUri = None,
    registrar: MaybeRegistrar = None,
    key: MaybeKey = None,
    as_json: AsJson = False,
) -> None:
    """Replace a body's keys; while it changes them, the set holds the old key and the new one.

    The change is an entry of the log and takes effect at once. With --jwks-uri later ones need no command.
    Once two registrars are registered, one orders it with --registrar and --key, and another agrees.

    Example: `creditvault body keys 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --jwks old-and-new.jwks`
    """
    signing = maybe_signing(registrar, key)
    kids: list[str] = []

    async def make(vault: Vault) -> acts.Act:
        found = await _keys(vault, jwks, jwks_uri)
        kids.extend(str(each.get("kid")) for each in found["keys"])
        return acts.ReplaceKeys(body=body, jwks=found, jwks_uri=jwks_uri)

    done = ordered(make, signing)
    if as_json and done.object_id is not None:
        print_json({"body": body, "kids": kids})
    else:
        say(done, "body", f"{{}} signs with {', '.join(kids)} from now on", as_json=as_json)


@app.command()
def certify(
    body: BodyId,
    reason: Reason,
    purpose: Annotated[list[str], typer.Option(help="A certified purpose; repeat for more.")] = [],  # noqa: B006 -- read, never changed -- Typer copies it
    capacity: Annotated[list[str], typer.Option(help="ask, furnish, inspect or desk; repeat.")] = ["ask"],  # noqa: B006 -- read, never changed
    registrar: MaybeRegistrar = None,
    key: MaybeKey = None,
    as_json: AsJson = False,
) -> None:
    """State all purposes and capacities of a body anew, wider or not; two registrars do.

    Example: `creditvault body certify BODY --purpose credit-granting --purpose account-opening
    --reason "licence extended" --registrar ZHANG --key zhang.jwk`
    """
    act = acts.CertifyBody(body=body, purposes=tuple(purpose), capacities=tuple(capacity), reason=reason)
    say(ordered(act, maybe_signing(registrar, key)), "body", "certified {} anew", as_json=as_json)


@app.command()
def narrow(
    body: BodyId,
    reason: Reason,
    purpose: Annotated[list[str], typer.Option(help="A purpose it keeps; repeat for more.")] = [],  # noqa: B006 -- read, never changed
    capacity: Annotated[list[str], typer.Option(help="A capacity it keeps; repeat for more.")] = ["ask"],  # noqa: B006 -- read, never changed
    as_json: AsJson = False,
) -> None:
    """Leave a body some of its purposes and capacities; it takes effect on the next query.

    Example: `creditvault body narrow BODY --purpose credit-granting --reason "licence limited"`
    """
    act = acts.NarrowBody(body=body, purposes=tuple(purpose), capacities=tuple(capacity), reason=reason)
    say(ordered(act), "body", "narrowed {}", as_json=as_json)


@app.command()
def amend(
    body: BodyId,
    name: Annotated[str, typer.Option(help="Its name.")],
    address: Annotated[str, typer.Option(help="Its address, for citizens.")],
    contact: Annotated[str, typer.Option(help="Its contact, for citizens.")],
    redirect_uri: Annotated[list[str], typer.Option(help="Where people are sent back to.")] = [],  # noqa: B006 -- read, never changed
    registrar: MaybeRegistrar = None,
    key: MaybeKey = None,
    as_json: AsJson = False,
) -> None:
    """State name, contact and redirect URIs of a body anew; two registrars do.

    Example: `creditvault body amend BODY --name "Second Bank" --address "2 Road"
    --contact privacy@bank.example --registrar ZHANG --key zhang.jwk`
    """
    act = acts.AmendBody(
        body=body, name=name, address=address, contact=contact, redirect_uris=tuple(redirect_uri)
    )
    say(ordered(act, maybe_signing(registrar, key)), "body", "amended {}", as_json=as_json)


@app.command()
def suspend(body: BodyId, reason: Reason, appeal: Appeal = None) -> None:
    """Suspend a body; it takes effect on the next query.

    Example: `creditvault body suspend 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "under investigation"`
    """
    say(ordered(acts.SuspendBody(body=body, reason=reason, appeal=appeal)), "body", "suspended {}")


@app.command()
def reinstate(
    body: BodyId,
    reason: Reason,
    registrar: MaybeRegistrar = None,
    key: MaybeKey = None,
    as_json: AsJson = False,
) -> None:
    """Reinstate a suspended body; once two registrars are registered, two do.

    Example: `creditvault body reinstate 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "appeal upheld"`
    """
    act = acts.ReinstateBody(body=body, reason=reason)
    say(ordered(act, maybe_signing(registrar, key)), "body", "reinstated {}", as_json=as_json)


@app.command(name="strike-off")
def strike_off(
    body: BodyId,
    reason: Reason,
    appeal: Appeal = None,
    registrar: MaybeRegistrar = None,
    key: MaybeKey = None,
    as_json: AsJson = False,
) -> None:
    """Strike a body off the register, for good; once two registrars are registered, two do.

    Example: `creditvault body strike-off 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "sold data"`
    """
    act = acts.StrikeOffBody(body=body, reason=reason, appeal=appeal)
    say(ordered(act, maybe_signing(registrar, key)), "body", "struck off {}", as_json=as_json)


@app.command()
def mark(
    body: BodyId,
    reason: Reason,
    kind: Annotated[Mark, typer.Option(help="What it was.")] = "warning",
    appeal: Appeal = None,
    private: Annotated[
        bool, typer.Option("--private", help="Keep it out of the public register, where the law does.")
    ] = False,
    note: Annotated[str | None, typer.Option(help="For registrars alone.")] = None,
) -> None:
    """Write a warning or a violation into a body's conduct file; its status stays.

    Example: `creditvault body mark 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "asked without a case"`
    """
    act = acts.MarkBody(body=body, mark=kind, reason=reason, appeal=appeal, public=not private, note=note)
    say(ordered(act), "body", f"wrote a {kind} into the file of {{}}")


@app.command(name="appeal")
def decide_appeal(
    event: Annotated[UUID, typer.Argument(metavar="LINE", help="Id of the line; `body conduct` shows it.")],
    outcome: Annotated[Outcome, typer.Option(help="Whether the body was right.")],
    reason: Reason,
    registrar: MaybeRegistrar = None,
    key: MaybeKey = None,
    as_json: AsJson = False,
) -> None:
    """Write down what became of an appeal; once two registrars are registered, two do.

    Example: `creditvault body appeal LINE --outcome upheld --reason "no case was asked without"`
    """
    act = acts.DecideAppeal(event=event, outcome=outcome, reason=reason)
    done = ordered(act, maybe_signing(registrar, key))
    say(done, "body", f"the appeal is {outcome}; the file of {{}} says so", as_json=as_json)


@app.command(name="conduct")
def conduct_file(body: BodyId, as_json: AsJson = False) -> None:
    """Show a body's conduct file: warnings, violations, every change of its status, and appeals.

    Example: `creditvault body conduct 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11`
    """

    async def work(vault: Vault) -> list[Conduct]:
        async with vault.engine.connect() as connection:
            return await conduct.conduct_file(connection, body)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("line", "when", "event", "reason", "appeal", "outcome", "public", "note", "by"),
        [
            (
                one.event_id,
                f"{one.at:%Y-%m-%d %H:%M}",
                one.event,
                one.reason,
                one.appeal,
                None if one.outcome is None else one.outcome.outcome,
                one.public,
                one.note,
                one.actor,
            )
            for one in found
        ],
    )


@app.command(name="list")
def list_all(as_json: AsJson = False) -> None:
    """List all bodies.

    Example: `creditvault body list --json`
    """

    async def work(vault: Vault) -> list[Body]:
        async with vault.engine.connect() as connection:
            return await bodies.list_bodies(connection)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "name", "kind", "may", "purposes", "status"),
        [(one.body_id, one.name, one.kind, one.capacities, one.purposes, one.status) for one in found],
    )


@app.command()
def quality(body: BodyId, as_json: AsJson = False) -> None:
    """Show how well a body furnishes: late, corrected and rejected records, month by month.

    Example: `creditvault body quality BODY`
    """

    async def work(vault: Vault) -> list[QualityMonth]:
        async with vault.engine.connect() as connection:
            if await bodies.read_body(connection, body) is None:
                raise typer.BadParameter("no body has this id", param_hint="BODY")
            return await months_of(connection, body, _MONTHS)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("month", "new", "by days since the document", "corrected", "rejected by rule"),
        [(one.month, *map(_figures, (one.enrolled, one.late, one.corrected, one.rejected))) for one in found],
    )


def _figures(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number:,}" for name, number in counts.items())


async def _keys(vault: Vault, jwks: Path | None, jwks_uri: str | None) -> dict[str, Any]:
    """The keys handed in, or found where the body publishes them."""
    if (jwks is None) == (jwks_uri is None):
        raise typer.BadParameter("give either the keys or their address", param_hint="--jwks, --jwks-uri")
    if jwks_uri is None:
        assert jwks is not None  # noqa: S101 -- one of the two is given
        return public_keys(read_json(jwks))
    try:
        return await PublishedKeys(loopback=vault.profile.is_loopback).fetch(jwks_uri)
    except KeysNotFetchedError as error:
        raise typer.BadParameter(f"no keys can be had there: {error}", param_hint="--jwks-uri") from None
