"""The public register: everybody reads who may ask, for what, and who was suspended why."""

from uuid import uuid4

import httpx
import pytest

from consent.bodies import reinstate_body, suspend_body
from consent.conduct import Finding, conduct_file, decide_appeal, mark
from consent.errors import InvalidError, StateError, UnknownError
from consent.journal import Actor
from tests.loopback import asking
from tests.vault.server.portal.conftest import Site

_REGISTRAR = Actor("operator:test", "operator")
_MEMBERS = {
    "body_id", "uscc", "name", "kind", "contact", "purposes", "capacities",
    "status", "status_since", "history",
}  # fmt: skip


async def _warned_and_appealed(site: Site) -> None:
    bank = site.cast["bank"].body_id
    async with site.vault.log.writing() as writing:
        await mark(writing, bank, Finding("warning", "asked at night", "the regulator"), _REGISTRAR)
        private = Finding("violation", "a complaint is examined", public=False, note="file 17")
        await mark(writing, bank, private, _REGISTRAR)
        registered, warned, _ = await conduct_file(writing.connection, bank)
    async with site.vault.log.writing() as writing:
        for event_id, error in ((registered.event_id, InvalidError), (uuid4(), UnknownError)):
            with pytest.raises(error):
                await decide_appeal(writing, event_id, "upheld", "no night was", _REGISTRAR)
        done = await decide_appeal(writing, warned.event_id, "upheld", "it was day", _REGISTRAR)
        with pytest.raises(StateError, match="decided already"):
            await decide_appeal(writing, warned.event_id, "dismissed", "it was night", _REGISTRAR)
    assert done == bank


async def test_of_conduct_everybody_reads_what_is_public_with_the_outcome_of_an_appeal(site: Site) -> None:
    await _warned_and_appealed(site)
    async with asking(site.url) as http:
        listed, page = await http.get("/v1/bodies"), (await http.get("/register")).text
    bodies = {one["body_id"]: one["history"] for one in listed.json()["bodies"]}
    _, warned = bodies[str(site.cast["bank"].body_id)]
    assert (warned["event"], warned["reason"], warned["appeal"]) == (
        "body.warned", "asked at night", "the regulator",
    )  # fmt: skip
    assert (warned["outcome"]["outcome"], warned["outcome"]["reason"]) == ("upheld", "it was day")
    assert "Its appeal was upheld: this was wrong" in page
    for private in ("a complaint is examined", "file 17", "operator:test"):
        assert private not in listed.text + page
    async with site.vault.engine.connect() as connection:
        _, _, hidden = await conduct_file(connection, site.cast["bank"].body_id)
    assert (hidden.public, hidden.note, hidden.actor) == (False, "file 17", "operator:test")


async def _suspended_and_reinstated(site: Site) -> None:
    async with site.vault.log.writing() as writing:
        await suspend_body(
            writing, site.cast["bank"].body_id, "asked <b>without</b> cause", _REGISTRAR, appeal="Regulator"
        )
    async with site.vault.log.writing() as writing:
        await reinstate_body(writing, site.cast["bank"].body_id, "appeal upheld", _REGISTRAR)


async def test_anybody_reads_it_as_json(site: Site) -> None:
    await _suspended_and_reinstated(site)
    async with asking(site.url) as http:
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
