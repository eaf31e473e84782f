"""`creditvault keys rotate consent-signing` and `proof-nonce`: a later version is announced, then used."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import typer

from vault.records import announced
from vault.records.announced import Announced, Announcement, announce
from vault.records.copy_keys import CopyKeys, make_key
from vault.records.keys import ANNOUNCED, CONSENT_SIGNING
from vault.server.assembly import Vault
from vault.server.cli.acting import operator
from vault.server.cli.output import print_json

_FORMER = {CONSENT_SIGNING: "former, published for what it signed"}


@dataclass(frozen=True, slots=True)
class Rotated:
    """A rotation of such a key, with the key set it leads to."""

    announcement: Announcement
    published: tuple[dict[str, Any], ...]


async def rotate(vault: Vault, name: str, *, another: bool) -> Rotated:
    """Announces the next version of a key.

    Raises:
        ProviderError: the provider does not answer.
        AccessLogError: the log cannot append; do it again.
    """

    async def make(version: int) -> dict[str, Any]:
        if name == CONSENT_SIGNING:
            return await make_key(vault.keys, version)
        await vault.keys.make_system_versions([name], version)
        return {}

    done = await announce(vault.log, make, name, operator(), another=another)
    if name != CONSENT_SIGNING:
        return Rotated(done, ())
    return Rotated(done, tuple((await CopyKeys(vault.keys.announced).published())["keys"]))


def tell(rotated: Rotated, *, as_json: bool) -> None:
    """Says what was announced, and what the key set holds now."""
    done, keys = rotated.announcement, rotated.published
    if as_json:
        print_json({**asdict(done), "key_ids": [key["kid"] for key in keys]})
        return
    # Somebody else was first, and may have set a time that is over by now.
    since = "now" if done.in_use_from is None else f"from {done.in_use_from:%Y-%m-%d %H:%M:%S} UTC on"
    says = "was announced before" if done.entry is None else f"is announced; entry {done.entry} says so"
    typer.echo(f"version {done.version} of the key {done.name} {says}; it is in use {since}")
    for key in keys:
        typer.echo(f"published  {key['kid']}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One version of such a key, as it is listed."""

    name: str
    version: int
    state: str
    made_at: datetime
    key_id: str | None


async def every(vault: Vault) -> list[Listed]:
    """Every version of these keys, each key's oldest first."""
    ids = [key["kid"] for key in reversed((await CopyKeys(vault.keys.announced).published())["keys"])]
    found = []
    for name in ANNOUNCED:
        async with vault.engine.connect() as connection:
            known = await announced.read(connection, name)
            made = await announced.made_at(connection, name)
        in_use = announced.newest_in_use(known, datetime.now(UTC))
        for number, one in enumerate(known):
            key_id = ids[number] if name == CONSENT_SIGNING else None
            found.append(Listed(name, one.version, _state(name, one, in_use), made[one.version], key_id))
    return found


def _state(name: str, one: Announced, in_use: Announced) -> str:
    if one == in_use:
        return "in use"
    if one.version < in_use.version:
        return _FORMER.get(name, "former")
    return f"announced, in use from {one.in_use_from:%Y-%m-%d %H:%M} UTC on"
