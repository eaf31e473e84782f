"""What docs/onboarding.md leads through: key, register, the bank's own program, a person with a browser."""

import asyncio
import json
import re
import sys
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from consent.bodies import Contact, NewBody, NewOfficer, add_body, add_officer
from consent.journal import Actor
from demo.bank import main
from demo.browser import Browser
from tests.flows.serving import ROOT, free_port
from tests.flows.world import World
from tests.vault.served import site
from vault.server.portal.fictitious import fictitious_identity
from vault.server.settings import Settings

OPERATOR = Actor("operator:test", "operator")
PERSON = 1


async def register(world: World, jwks: str, callback: str) -> tuple[UUID, UUID]:
    new = NewBody(
        uscc="91999999MA00000268",
        name="My Bank",
        kind="bank",
        contact=Contact("1 Road", "privacy@bank.example"),
        jwks=json.loads(jwks),
        redirect_uris=(callback,),
        purposes=("credit-granting",),
    )
    async with world.log.writing() as writing:
        body = await add_body(writing, new, OPERATOR)
        return body, await add_officer(writing, NewOfficer(body, "Li Wei", "loan officer"), OPERATOR)


async def decide(issuer: str, url: str, decision: str) -> None:
    """The person opens the address, signs in, decides, and is sent to the bank."""
    number, _ = fictitious_identity(PERSON)
    async with Browser(issuer) as browser, httpx.AsyncClient() as elsewhere:
        page = await browser.open(url)
        page = await browser.send(page, page.form_with("number"), fill={"number": number})
        form = page.form_with("decision", "fields")
        back = await browser.send(page, form, tick=form.boxes, press=("decision", decision))
        assert (await elsewhere.get(back.url)).is_success


@pytest.mark.parametrize(
    ("decision", "code", "said"),
    [("grant", 0, '"status": "performing"'), ("refuse", 2, "nothing was granted: access_denied")],
)
async def test_a_developers_first_query(
    vault_settings: Settings, tmp_path: Path, *, decision: str, code: int, said: str
) -> None:
    assert main(["key", str(tmp_path / "bank.jwk")]) == 0
    jwks = (tmp_path / "bank.jwks").read_text()
    callback = f"http://127.0.0.1:{free_port()}/returned"
    async with site(vault_settings, tmp_path) as served:
        issuer = served.world.settings.issuer
        await served.enrol(PERSON)
        body, officer = await register(served.world, jwks, callback)
        bank = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "demo.bank", "ask", str(tmp_path / "bank.jwk"), "--issuer", issuer,
            "--client", str(body), "--officer", str(officer), "--callback", callback,
            "--person", fictitious_identity(PERSON)[0],
            cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert bank.stdout is not None
        (url,) = re.findall(r"https?://\S+", (await bank.stdout.readline()).decode())
        await decide(issuer, url, decision)
        out, err = await bank.communicate()
        assert bank.returncode == code, err.decode()
        assert said in (out + err).decode()
        if code == 0:
            assert served.receipt((tmp_path / "answer.receipt").read_text())


def test_a_key_is_private_and_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "bank.jwk"
    assert main(["key", str(key)]) == 0
    assert key.stat().st_mode & 0o077 == 0
    assert "d" not in json.loads((tmp_path / "bank.jwks").read_text())["keys"][0]
    assert main(["key", str(key)]) == 2
    assert capsys.readouterr().err.startswith("bank: ")
