"""The two invented registrars act together, as registrars must for what has weight."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from consent import acts
from consent.acts import Act
from consent.handing_in import hand_in
from consent.statements import Agreement, Order, Statement, content_digest, sign_statement
from demo.cast import Cast
from vault.server.assembly import Vault


async def order_together(vault: Vault, cast: Cast, act: Act) -> None:
    """One registrar orders an act, the other agrees: two statements, two keys."""
    issuer, order, content = vault.profile.issuer, uuid4(), acts.write(act)
    ordered = Order.of(issuer, order, cast.registrar_ids[0], datetime.now(UTC), content)
    await _hand_in(vault, cast, 0, ordered)
    agreed = Agreement(
        vault=issuer,
        order=order,
        registrar=cast.registrar_ids[1],
        at=datetime.now(UTC),
        content_sha256=content_digest(content),
    )
    await _hand_in(vault, cast, 1, agreed)


async def reinstate(vault: Vault, cast: Cast, body_id: UUID, reason: str) -> None:
    """Makes a suspended body active again."""
    await order_together(vault, cast, acts.ReinstateBody(body=body_id, reason=reason))


def keep_keys(cast: Cast, home: Path) -> None:
    """Writes the registrars' keys to files of their own, for whoever plays them at the command line."""
    for number, key in enumerate(cast.registrar_keys, start=1):
        path = home / f"registrar-{number}.jwk"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(key.as_dict(private=True), file)


async def _hand_in(vault: Vault, cast: Cast, number: int, statement: Statement) -> None:
    private: dict[str, Any] = dict(cast.registrar_keys[number].as_dict(private=True))
    async with vault.log.writing() as writing:
        await hand_in(writing, sign_statement(private, statement), vault.profile.issuer, vault.nameable)
