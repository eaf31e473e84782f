"""A vault whose answers wait for its witnesses, over HTTP, with witnesses that come and go."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import Request, Response

from access_log.policy import Policy, open_under_policy
from access_log.receipt import parse_receipt
from access_log.verifier_keys import VerifierKey
from tests.access_log.witness.served import Witness, policy_of, witness
from tests.flows.audit import check_answers, check_uses, check_whole, verify_published
from tests.flows.serving import at_port, free_port, serving
from tests.flows.world import World, opened
from vault.server.assembly import open_vault
from vault.server.jobs import ask_witnesses
from vault.server.settings import Settings


@pytest.fixture
async def two_witnesses(tmp_path: Path) -> AsyncIterator[list[Witness]]:
    async with witness(tmp_path, "one", number=1) as one, witness(tmp_path, "two", number=2) as two:
        yield [one, two]


@pytest.fixture
async def plain(vault_settings: Settings, tmp_path: Path) -> AsyncIterator[World]:
    """A vault with its cast, made before any witness is named."""
    async with opened(at_port(vault_settings, free_port()), tmp_path) as world:
        yield world


def with_witnesses(world: World, witnesses: list[Witness], folder: Path, **more: object) -> Settings:
    """Lets the witnesses know the log, and the vault its witnesses."""
    for each in witnesses:
        each.store.trust(VerifierKey.parse(world.log.key.verifier_key()))
    (folder / "policy").write_text(policy_of("all", *witnesses))
    return world.settings.model_copy(update={"witness_policy": folder / "policy", **more})


def is_witnessed(world: World, folder: Path, receipt: str) -> bool:
    policy = Policy.parse((folder / "policy").read_bytes())
    keys = [VerifierKey.parse(world.log.key.verifier_key())]
    checkpoint, _ = open_under_policy(parse_receipt(receipt).note, policy, keys)
    return checkpoint.size > parse_receipt(receipt).index


async def _away(_request: Request, _answer: Response) -> Response:
    return Response("not now\n", 503)


async def test_nothing_is_answered_before_the_quorum_cosigned(
    plain: World, two_witnesses: list[Witness], tmp_path: Path
) -> None:
    settings = with_witnesses(
        plain, two_witnesses, tmp_path, witness_mode="sync", witness_timeout_seconds=2.0
    )
    async with serving(settings, tmp_path / "server.log") as server, server.http() as http:
        await plain.enrol(http, [1, 2])
        grant = await plain.statutory(http, 1)
        answers = [await grant.ask()]
        assert answers[0].status_code == httpx.codes.OK
        assert is_witnessed(plain, tmp_path, answers[0].json()["receipt"])

        two_witnesses[1].behaviour = _away
        refused = [await grant.ask() for _ in range(3)]
        assert [each.status_code for each in refused] == [503] * 3
        assert "records" not in refused[0].text
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/log/checkpoint")).status_code == 200, "what is public stays readable"
        metrics = (await http.get("/metrics")).text
        assert 'creditvault_witness_size{witness="one"}' in metrics
        assert 'creditvault_witness_age_seconds{witness="two"}' in metrics
        assert 'creditvault_witness_failures_total{kind="refused",witness="two"}' in metrics
        said = server.said()
        assert '"event": "quorum_not_reached"' in said
        assert '"event": "witness_failed"' in said

        # It is back: so is the vault, without a restart.
        two_witnesses[1].behaviour = None
        answers.append(await grant.ask())
        assert answers[1].status_code == httpx.codes.OK
        index = parse_receipt(answers[1].json()["receipt"]).index
        assert is_witnessed(plain, tmp_path, (await http.get(f"/log/proof/{index}")).text)
        logged = await check_whole(plain.vault)
        check_answers(plain.vault, [each.json() for each in answers], logged)
        await check_uses(plain.vault, logged)
        await verify_published(plain.vault, server.url)


async def test_the_worker_asks_and_receipts_become_witnessed(
    plain: World, two_witnesses: list[Witness], tmp_path: Path
) -> None:
    settings = with_witnesses(plain, two_witnesses, tmp_path)
    async with serving(settings, tmp_path / "server.log") as server, server.http() as http:
        await plain.enrol(http, [1])
        grant = await plain.statutory(http, 1)
        two_witnesses[0].behaviour = _away
        answer = await grant.ask()
        assert answer.status_code == httpx.codes.OK, "asynchronous: nobody waits"
        index = parse_receipt(answer.json()["receipt"]).index
        assert (await http.get("/log/witnessed")).status_code == 404
        assert settings.database_url is not None
        async with open_vault(settings, settings.database_url) as vault:
            assert vault.witnessing is not None
            assert (await ask_witnesses(vault.log, vault.witnessing)).lacking is not None
            two_witnesses[0].behaviour = None
            assert (await ask_witnesses(vault.log, vault.witnessing)).lacking is None
        assert is_witnessed(plain, tmp_path, (await http.get(f"/log/proof/{index}")).text)
        assert f"\n{two_witnesses[0].size()}\n" in (await http.get("/log/witnessed")).text
