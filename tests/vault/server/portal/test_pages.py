import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine

from access_log.cli import main as access_log_command
from access_log.entry import EntryType
from access_log.log import Event
from access_log.merkle import leaf_hash
from access_log.payload import Payload
from consent.bodies import Contact, add_body
from tests.consent.registers import OPERATOR, new_body
from tests.vault.people import ENROLLED, OTHER, contract, hand_in, person
from tests.vault.server.portal.conftest import Site
from vault.rights.accesses import accesses
from vault.server.portal import pages
from vault.server.portal.fictitious import fictitious_identity
from vault.server.portal.own import Own

PAGES = (
    "/",
    "/accesses",
    "/accesses?show=everything",
    "/records",
    "/consents",
    "/privacy",
    "/privacy/notice",
    "/register",
)
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


async def test_the_person_reads_who_asked_what_for_and_on_which_basis(site: Site) -> None:
    assert (await site.court_asks(ENROLLED)).status_code == httpx.codes.OK
    assert (await site.court_asks(ENROLLED, "credit-granting")).status_code == httpx.codes.FORBIDDEN
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/accesses")
    refused, permitted = page.text.split("asked about you")[1:]
    for words in (
        "Permitted",
        "Enforcing a judgment",
        "By law: Fictitious Enforcement Act, Article 1",
        "Credit contract: Type of credit",
        "1 of your records was shown.",
        "case officer",
        "(2026) Demo Enforcement No. 17",
        "privacy@court.example",
    ):
        assert words in permitted
    assert "Refused" in refused
    assert "Nothing was shown." in refused
    assert page.text.count("Example District Court asked about you") == 2


async def test_everything_in_the_log_is_there_when_asked_for(site: Site) -> None:
    await site.consent(ENROLLED)
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/accesses")
        assert "Nobody has asked about you." in page.text
        await browser.get("/records")
        page = await browser.get("/accesses?show=everything")
    assert "You looked at your records" in page.text
    assert "You gave Second Example Bank your consent" in page.text
    assert "handed in a record: Credit contract" in page.text


async def test_a_record_that_was_mended_says_so(site: Site) -> None:
    mended = {**json.loads(contract(ENROLLED)), "supersedes": {"version": 1, "reason": "error"}}
    mended["fields"]["type"] = "housing"
    await hand_in(site.vault, site.cast["furnisher"].body_id, json.dumps(mended))
    async with site.browser() as browser:
        records = (await browser.sign_in(ENROLLED, "/records")).text
        page = await browser.get("/accesses?show=everything")
    assert "housing" in records
    assert "vehicle" not in records
    assert "In the place of an earlier version version: 1, reason: error" in records
    assert "handed in a record again, in the place of an earlier version: Credit contract" in page.text


async def test_the_proof_offered_on_a_page_verifies_offline(site: Site, tmp_path: Any) -> None:
    await site.court_asks(ENROLLED)
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/accesses")
        (link,) = [one for one in page.links if re.fullmatch(r"/accesses/\d+", one)]
        entry = await browser.get(link)
        for name in ("receipt", "opening"):
            download = await browser.http.get(f"{link}/{name}")
            assert download.headers["content-disposition"].startswith("attachment")
            (tmp_path / name).write_bytes(download.content)
    key = site.vault.log.key.verifier_key()
    assert key in entry.text
    files = [str(tmp_path / "receipt"), str(tmp_path / "opening")]
    assert access_log_command(["check-opening", *files, "--log-key", key]) == 0
    (tmp_path / "opening").write_text((tmp_path / "opening").read_text().replace("permitted", "refused"))
    assert access_log_command(["check-opening", *files, "--log-key", key]) == 1


async def test_no_page_holds_anything_of_somebody_else(site: Site) -> None:
    await site.court_asks(OTHER)
    consent_id = await site.consent(OTHER)
    number, name = fictitious_identity(OTHER)
    async with site.browser() as other, site.browser() as browser:
        await other.sign_in(OTHER)
        theirs = (await other.http.get("/v1/me/accesses")).json()["accesses"]
        records = (await other.http.get("/v1/me/records")).json()["records"]
        await browser.sign_in(ENROLLED)
        seen = [await browser.get(path) for path in PAGES]
        for access in theirs:
            for suffix in ("", "/receipt", "/opening"):
                page = await browser.get(f"/accesses/{access['index']}{suffix}")
                assert page.status == httpx.codes.NOT_FOUND
                seen.append(page)
        seen.append(await browser.get(f"/consents/{consent_id}/copies/1"))
    assert seen[-1].status == httpx.codes.NOT_FOUND
    secrets = [number, name, str(consent_id), "CONTRACT-2", "LOAN-2", *(one["record_id"] for one in records)]
    for page in seen:
        for secret in secrets:
            assert secret not in page.response.text, page.path


async def test_my_records_are_shown_in_plain_words(site: Site) -> None:
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/records")
    for words in (
        "Type of credit vehicle",
        "10k\N{EN DASH}50k",
        "May be shown to others",
        "CONTRACT-1",
        "LOAN-1",
    ):
        assert words in page.text
    assert "Identity Never shown to anybody" in page.text
    assert fictitious_identity(ENROLLED)[0] in page.text


async def test_withdrawing_takes_one_button_and_counts_at_once(site: Site) -> None:
    consent_id = await site.consent(ENROLLED)
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/consents")
        assert "Second Example Bank In force" in page.text
        page = await browser.send(page, page.form_to(f"/consents/{consent_id}"))
        assert "Your consent is withdrawn." in page.text
        assert "Second Example Bank Withdrawn" in page.text
        assert not [form for form in page.forms if "withdraw" in form.action]
        copy = await browser.http.get(f"/consents/{consent_id}/copies/1")
        assert copy.text.count(".") == 2
        again = await browser.http.post(
            f"/consents/{consent_id}/withdraw", data={"csrf": (await browser.me())["csrf_token"]}
        )
    assert again.status_code == httpx.codes.CONFLICT
    assert "stands so already" in again.text


@pytest.mark.parametrize("token", [None, "", "0" * 64])
async def test_without_the_token_of_the_session_nothing_changes(site: Site, token: str | None) -> None:
    consent_id = await site.consent(ENROLLED)
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        data = {} if token is None else {"csrf": token}
        for path in (f"/consents/{consent_id}/withdraw", "/sign-out"):
            response = await browser.http.post(path, data={**data, "other": "1"})
            assert response.status_code == httpx.codes.FORBIDDEN
            assert "Nothing was changed" in response.text
        (consent,) = (await browser.http.get("/v1/me/consents")).json()["consents"]
    assert consent["state"] == "active"


async def test_nobody_withdraws_anothers_consent(site: Site) -> None:
    theirs = await site.consent(OTHER)
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        token = (await browser.me())["csrf_token"]
        for path in (
            f"/consents/{theirs}/withdraw",
            f"/consents/{'0' * 32}/withdraw",
            "/consents/x/withdraw",
        ):
            response = await browser.http.post(path, data={"csrf": token})
            assert response.status_code == httpx.codes.NOT_FOUND
            assert "There is nothing here that belongs to you." in response.text
    async with site.browser() as browser:
        await browser.sign_in(OTHER)
        (consent,) = (await browser.http.get("/v1/me/consents")).json()["consents"]
    assert consent["state"] == "active"


async def test_what_bodies_call_themselves_is_no_markup(site: Site) -> None:
    async with site.vault.log.writing() as writing:
        body_id = await add_body(writing, new_body(name=EVIL, contact=Contact(EVIL, EVIL)), OPERATOR)
    await site.consent(ENROLLED, body_id=body_id)
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        for path in ("/consents", "/accesses?show=everything"):
            page = await browser.get(path)
            assert EVIL in page.text, "it is read as it was written"
            assert "<script>" not in page.response.text
            assert "<img" not in page.response.text


async def test_every_page_refuses_scripts_frames_and_other_origins(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        for path in (*PAGES, "/accesses/999999", "/sign-in/callback"):
            headers = (await browser.http.get(path)).headers
            policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
            assert policy["default-src"] == "'none'"
            assert policy["form-action"] == "'self'"
            assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
            assert "script-src" not in policy
            assert headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["x-content-type-options"] == "nosniff"


async def test_every_page_can_be_read_by_a_machine_that_reads_aloud(site: Site) -> None:
    await site.court_asks(ENROLLED)
    await site.consent(ENROLLED)
    async with site.browser() as browser:
        shown = [await browser.get("/"), await browser.begin()]
        await browser.sign_in(ENROLLED)
        shown += [await browser.get(path) for path in PAGES]
    for page in shown:
        html = page.response.text
        assert '<html lang="en">' in html
        assert html.count("<h1") == 1
        assert html.count("<main") == 1
        assert re.search(r"<title>\s*\S", html)
        ids = re.findall(r'\bid="([^"]+)"', html)
        assert len(ids) == len(set(ids))
        for labelled in re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', html):
            assert labelled in ids
        for field in re.findall(r"<input(?![^>]*type=\"(?:hidden|checkbox)\")[^>]*\bid=\"([^\"]+)\"", html):
            assert f'<label for="{field}"' in html


async def test_style_and_icon_are_our_own(site: Site) -> None:
    async with site.browser() as browser:
        html = (await browser.get("/")).response.text
        for address in re.findall(r'<link [^>]*href="([^"]+)"', html):
            assert address.startswith("/assets/")
            asset = await browser.http.get(address)
            assert asset.status_code == httpx.codes.OK
            assert "immutable" in asset.headers["cache-control"]
            assert b"http" not in asset.content.replace(b"http://www.w3.org/2000/svg", b"")
        assert "immutable" not in (await browser.http.get("/assets/portal.css")).headers["cache-control"]


async def test_long_lists_come_in_parts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_A_PAGE", 2)
    for _ in range(5):
        await site.court_asks(ENROLLED)
    found = []
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/accesses")
        while True:
            found += [
                int(one.rpartition("/")[2]) for one in page.links if re.fullmatch(r"/accesses/\d+", one)
            ]
            earlier = [one for one in page.links if "before=" in one]
            if not earlier:
                break
            page = await browser.get(earlier[0])
        assert (await browser.get("/accesses?before=x")).status == httpx.codes.NOT_FOUND
    assert len(found) == len(set(found)) == 5
    assert found == sorted(found, reverse=True)


async def test_when_records_do_not_open_a_page_says_so_and_shows_nothing(site: Site, owner_url: str) -> None:
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE vault.record SET key_check = decode(repeat('00', 32), 'hex')")
    engine.dispose()
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/records")
    assert page.status == httpx.codes.SERVICE_UNAVAILABLE
    assert "The vault cannot serve you now" in page.text
    assert "vehicle" not in page.text


async def test_what_nobody_foresaw_is_a_page_without_details(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("990000197109070012")

    monkeypatch.setattr(Own, "consents", fails)
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/consents")
    assert page.status == httpx.codes.INTERNAL_SERVER_ERROR
    assert "Something went wrong on our side" in page.text
    assert "990000197109070012" not in page.response.text


async def test_a_form_that_is_none_is_answered_by_a_page(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        response = await browser.http.post("/sign-out", json={"csrf": "x"})
    assert response.status_code == httpx.codes.BAD_REQUEST
    assert "This could not be read" in response.text


async def test_an_answer_that_never_left_is_told_with_the_query_it_was_for(site: Site) -> None:
    await site.court_asks(ENROLLED)
    row = await person(site.vault, ENROLLED)
    async with site.vault.engine.connect() as connection:
        query = (await accesses(connection, site.vault.logs, row.person.subject_id))[0]
    notice = {"query": leaf_hash(query.raw).hex(), "reason": "the answer could not be released"}
    async with site.vault.log.writing() as writing:
        writing.add(Event(row.person.stream_id, Payload.create(EntryType.NOT_RELEASED, notice)))
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/accesses")
    assert "An answer about you was stopped and never left the vault" in page.text
    assert f"It would have answered the query of entry {query.index}" in page.text
    assert "Stopped" in page.text
    assert "Nothing was shown: the answer was stopped before it left the vault." in page.text


async def test_an_entry_whose_content_is_no_longer_kept_is_still_listed(site: Site) -> None:
    await site.court_asks(ENROLLED)
    async with site.vault.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM access_log.payload")
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/accesses?show=everything")
        (query, _) = [one for one in page.links if re.fullmatch(r"/accesses/\d+", one)]
        assert "An entry whose content is not kept any more" in page.text
        assert "An organization asked about you" in page.text
        assert "Its content is not kept any more" in (await browser.get(query)).text
        assert (await browser.get(f"{query}/opening")).status == httpx.codes.NOT_FOUND


async def test_what_is_held_back_is_told_to_the_person_with_the_reason(site: Site, owner_url: str) -> None:
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE vault.record SET display_from = '2020-01-01', display_until = '2021-01-01'"
            " WHERE category = 'FIN'"
        )
    engine.dispose()
    assert (await site.court_asks(ENROLLED)).json()["records"] == []
    async with site.browser() as browser:
        page = await browser.sign_in(ENROLLED, "/accesses")
        assert "Nothing was found that may be shown. 1 was held back: Its display had ended." in page.text
        assert "Credit contract No longer shown to anybody" in (await browser.get("/records")).text


async def test_a_body_too_large_is_answered_by_a_page(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"a" * 4096

    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        response = await browser.http.post("/sign-out", content=endless(), headers=headers)
    assert response.status_code in (httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.BAD_REQUEST)
    assert "This could not be" in response.text
