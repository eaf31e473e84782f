"""A key server's own audit log against the log: who opens keys beside the vault is seen there."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from access_log.receipt import parse_receipt
from tests.flows.serving import at_port, free_port, in_this_process
from tests.flows.world import World, joined
from tests.openbao import OpenBao
from tests.vault.people import person
from vault.crypto.envelopes import subject_key_aad
from vault.crypto.fields import named
from vault.crypto.held import CHECK
from vault.crypto.journal import for_entry, handle
from vault.crypto.openbao import USES_HEADER
from vault.records.keys import ROOT
from vault.server.assembly import set_up
from vault.server.key_server_audit import AuditLogError, KeyServerAudit, WithAudit
from vault.server.providers import journal
from vault.server.reconciliation import Differences, reconcile_unwraps
from vault.server.settings import Settings

PREFIX = "creditvault-audited"
pytestmark = pytest.mark.slow


@pytest.fixture
async def world(vault_settings: Settings, openbao: OpenBao, tmp_path: Path) -> AsyncIterator[World]:
    openbao.ask("PUT", f"sys/config/auditing/request-headers/{USES_HEADER}", {"hmac": False})
    settings = at_port(vault_settings.model_copy(update=openbao.settings(PREFIX)), free_port())
    assert settings.database_url is not None
    await set_up(settings, settings.database_url)
    async with joined(settings, tmp_path) as world:
        yield world


async def differences(world: World, openbao: OpenBao) -> tuple[int, list[str]]:
    """How many entries were judged, and every difference."""
    found = Differences()
    audit = KeyServerAudit([openbao.audit_file], "transit", PREFIX)
    lines = WithAudit(journal(world.settings), audit)
    done = await reconcile_unwraps(world.log, lines, found, lambda _done, _of: None, timedelta(0))
    return done.judged, [one.reason for one in found.listed] + audit.more_checked_than_wrapped()


async def open_by_hand(world: World, openbao: OpenBao, n: int, purpose: str | None) -> None:
    """Somebody with the vault's own token, and a copy of the database, opens a person's key."""
    subject = (await person(world.vault, n)).person.subject_id
    async with world.vault.engine.connect() as connection:
        wrapped = (
            await connection.execute(
                text("SELECT wrapped_key FROM vault.subject WHERE subject_id = :id"), {"id": subject}
            )
        ).scalar_one()
    aad = subject_key_aad(subject)
    item = {
        "ciphertext": f"vault:v1:{base64.b64encode(wrapped[6:]).decode()}",
        "associated_data": base64.b64encode(wrapped[:2] + named(ROOT) + aad).decode(),
    }
    headers = {"X-Vault-Token": openbao.token_file.read_text()}
    if purpose is not None:
        headers[USES_HEADER] = f"{handle(aad)} {purpose}"
    async with httpx.AsyncClient(verify=openbao.trusting, trust_env=False) as http:
        url = f"{openbao.url}/v1/transit/decrypt/{PREFIX}-root"
        answer = await http.post(url, json={"batch_input": [item]}, headers=headers)
    assert answer.status_code == httpx.codes.OK, answer.text


async def test_what_is_opened_beside_the_vault_stands_in_the_key_servers_own_log(
    world: World, openbao: OpenBao, tmp_path: Path
) -> None:
    async with in_this_process(world.vault) as http:
        await world.enrol(http, [1, 2])
        court, bank = await world.statutory(http, 1), await world.consented(http, 2, 5)
        answers = await asyncio.gather(*(grant.ask() for grant in [court, bank] * 3))
    assert {answer.status_code for answer in answers} == {httpx.codes.OK}
    entry = parse_receipt(answers[0].json()["receipt"]).index
    judged, found = await differences(world, openbao)
    assert (judged, found) == (6, [])
    for purpose, reason in (
        (None, "it was unwrapped, and nothing says what for"),
        (for_entry(entry), "the key of another person was unwrapped for it"),
        (CHECK, "root"),
    ):
        await open_by_hand(world, openbao, 2, purpose)
        _, found = await differences(world, openbao)
        assert found[-1] == reason or reason in found, found
    # A journal that was taken away changes nothing of that.
    for file in journal(world.settings).files():
        file.unlink()
    _, without = await differences(world, openbao)
    assert set(found) <= set(without)
    silent = openbao.audit_file.read_text().replace(USES_HEADER.lower(), "x-other")
    (tmp_path / "silent.log").write_text(silent)
    with pytest.raises(AuditLogError, match="have the header recorded"):
        list(KeyServerAudit([tmp_path / "silent.log"], "transit", PREFIX).read())
    (tmp_path / "other.log").write_text("something else\n")
    with pytest.raises(AuditLogError, match="no line of a key server's audit log"):
        list(KeyServerAudit([tmp_path / "other.log"], "transit", PREFIX).read())
    with pytest.raises(AuditLogError, match="cannot be read"):
        list(KeyServerAudit([tmp_path / "none.log"], "transit", PREFIX).read())
