"""The public register: everybody reads who may ask, for what, and who was suspended why."""

import httpx

from consent.bodies import reinstate_body, suspend_body
from consent.journal import Actor
from tests.vault.server.portal.conftest import Site

_REGISTRAR = Actor("operator:test", "operator")
_MEMBERS = {
    "body_id", "uscc", "name", "kind", "contact", "purposes", "capacities",
    "status", "status_since", "history",
}  # fmt: skip


async def _suspended_and_reinstated(site: Site) -> None:
    async with site.vault.log.writing() as writing:
        await suspend_body(
            writing, site.cast["bank"].body_id, "asked <b>without</b> cause", _REGISTRAR, appeal="Regulator"
        )
    async with site.vault.log.writing() as writing:
        await reinstate_body(writing, site.cast["bank"].body_id, "appeal upheld", _REGISTRAR)


async def test_anybody_reads_it_as_json(site: Site) -> None:
    await _suspended_and_reinstated(site)
    async with httpx.AsyncClient(base_url=site.url, trust_env=False) as http:
        response = await http.get("/v1/bodies")
    assert response.status_code == httpx.codes.OK
    assert response.headers["cache-control"] == "public, max-age=60"
    bodies = {one["body_id"]: one for one in response.json()["bodies"]}
    assert set(bodies) == {str(body.body_id) for body in site.cast.players.values()}
    bank = bodies[str(site.cast["bank"].body_id)]
    assert set(bank) == _MEMBERS, "no key, no officer, no redirect URI"
    assert bank["status"] == "active"
    assert [(one["event"], one["reason"], one["appeal"]) for one in bank["history"]] == [
        ("body.registered", None, None),
        ("body.suspended", "asked <b>without</b> cause", "Regulator"),
        ("body.reinstated", "appeal upheld", None),
    ]
    assert bank["status_since"] == bank["history"][-1]["at"].replace("+00:00", "Z")


async def test_anybody_reads_it_as_a_page(site: Site) -> None:
    await _suspended_and_reinstated(site)
    async with site.browser() as browser:
        page = await browser.get("/register")
    assert page.status == httpx.codes.OK
    for words in (
        "Example District Court",
        "May act",
        "ask about people",
        "Enforcing a judgment",
        "asked <b>without</b> cause",
        "(appeal: Regulator)",
        "Reinstated",
    ):
        assert words in page.text
    assert "/register" in page.links
