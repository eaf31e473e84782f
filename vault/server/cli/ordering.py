"""Acts on registers from the command line: an operator's own, or a registrar's order."""

from collections.abc import Awaitable, Callable

import typer

from consent import acts, orders
from consent.acts import Act
from consent.handing_in import HandedIn, hand_in
from vault.server.assembly import Vault
from vault.server.cli.acting import operator, with_vault
from vault.server.cli.output import print_json
from vault.server.cli.signing import Signing

Make = Callable[[Vault], Awaitable[Act]]


def ordered(act: Act | Make, signing: Signing | None = None) -> HandedIn:
    """Orders an act in this vault as a registrar, or does it as its operator, as far as an operator may.

    Args:
        act: the act, or what makes it of the open vault.
        signing: the registrar who orders it; None for the operator.
    """

    async def work(vault: Vault) -> HandedIn:
        made = await act(vault) if callable(act) else act
        statement = None if signing is None else signing.order(vault.profile.issuer, acts.write(made))
        async with vault.log.writing() as writing:
            if statement is not None:
                return await hand_in(writing, statement, vault.profile.issuer, vault.nameable)
            done = await orders.by_operator(writing, made, operator(), vault.nameable)
            return HandedIn(done, "done", done)

    return with_vault(work)


def say(done: HandedIn, name: str, said: str, *, as_json: bool = False) -> None:
    """Says what an order came to.

    Args:
        done: what it came to.
        name: of what was made or changed, in JSON.
        said: about it, for people; `{}` is its id.
        as_json: whether one JSON document is wanted.
    """
    if as_json:
        waits = {"order": done.id, "state": done.state}
        print_json(waits if done.object_id is None else {name: done.object_id})
    elif done.object_id is None:
        typer.echo(f"ordered; it waits for another registrar: creditvault registrar agree {done.id}")
    else:
        typer.echo(said.format(done.object_id))
