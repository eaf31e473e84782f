"""Commands about the authorization server: the keys that sign access tokens."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from consent.oauth.token_keys import LEAD, TokenKey, announce, read_keys, standing
from vault.server.assembly import Vault
from vault.server.cli.acting import operator, with_vault
from vault.server.cli.output import AsJson, examples, print_json, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="The authorization server: the keys that sign access tokens.",
    epilog=examples("creditvault oauth rotate-key --yes", "creditvault oauth keys"),
)


@app.command(name="rotate-key")
def rotate_key(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    compromised: Annotated[
        bool, typer.Option("--compromised", help="End the present keys and their tokens at once.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give the access tokens a new signing key, in every process, without an interruption.

    It stands in /oauth/jwks within seconds and signs after ten minutes; tokens of the old key live to their
    end. The change is an entry of the log.

    Example: `creditvault oauth rotate-key --yes`
    """
    if not yes:
        question = "Every access token ends now. Go on?" if compromised else "The key will be changed. Go on?"
        typer.confirm(question, abort=True)

    async def work(vault: Vault) -> TokenKey:
        async with vault.engine.connect() as connection:
            version = (await read_keys(connection))[-1].version + 1
        await vault.token_keys.make(version)
        async with vault.log.writing() as writing:
            return await announce(writing, version, operator(), compromised=compromised)

    key = with_vault(work)
    if as_json:
        print_json(key)
    elif compromised:
        typer.echo(f"key {key.version} signs from now on; every process hears of it within seconds")
    else:
        typer.echo(f"key {key.version} is announced and signs in {LEAD.seconds // 60} minutes")


@app.command()
def keys(as_json: AsJson = False) -> None:
    """List the keys that sign access tokens, past, present and announced.

    Example: `creditvault oauth keys --json`
    """

    async def work(vault: Vault) -> list[TokenKey]:
        async with vault.engine.connect() as connection:
            return await read_keys(connection)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    now = standing(found, datetime.now(UTC))
    print_table(
        ("version", "signs from", "others until", "now"),
        [(key.version, key.signs_from, key.others_until, _part(key, now.signs, now.verify)) for key in found],
    )


def _part(key: TokenKey, signs: TokenKey, verify: tuple[TokenKey, ...]) -> str:
    if key == signs:
        return "signs"
    if key not in verify:
        return "ended"
    return "announced" if key.version > signs.version else "its tokens live to their end"
