"""*I don't recognise this query*: from the person's page to the inspector's answer, and what others see."""

import httpx
import pytest
from sqlalchemy import create_engine, text

from access_log.fsck import examine_log
from consent import bodies
from demo.cast import OPERATOR
from demo.client import BodyClient
from tests.loopback import asking
from tests.vault.inspection.asking import recent
from tests.vault.people import ENROLLED, OTHER, person
from tests.vault.served import Inspecting, problem
from tests.vault.server.portal.conftest import Browser, Site
from tests.vault.server.portal.conftest import site as _site
from vault.crypto.errors import CryptoError
from vault.inspection.schemas import CaseOut, CasesOut, ChangedCaseOut
from vault.records.covert import StreamOwners
from vault.server.portal.schemas import OpenedCaseOut, OwnCasesOut

site = _site
WORDS = "I have never had anything to do with this court."
ANSWER = "The court asked in error. It was told to delete what it saw."


async def inspector(site: Site, http: httpx.AsyncClient) -> Inspecting:
    player = site.cast["inspectorate"]
    client = BodyClient(http, site.url, player.body_id, player.key)
    details = {"type": "inspection", "officer": str(player.officer_id), "case_reference": "INSPECTION-7"}
    return Inspecting(http, client, await client.statutory_token(details))


async def not_recognised(
    browser: Browser, index: int, csrf: str | None = None, **body: object
) -> httpx.Response:
    csrf = csrf or (await browser.me())["csrf_token"]
    return await browser.http.post(
        f"/v1/me/accesses/{index}/not-recognised", json=body, headers={"X-CSRF-Token": csrf}
    )


async def newest_query(browser: Browser) -> int:
    accesses = (await browser.http.get("/v1/me/accesses")).json()["accesses"]
    return int(next(one["index"] for one in accesses if one["kind"].startswith("query")))


async def test_from_the_persons_page_to_the_inspectors_answer(site: Site) -> None:
    asked = await site.court_asks(ENROLLED)
    async with site.browser() as browser, asking(site.url) as http:
        await browser.sign_in(ENROLLED)
        index = await newest_query(browser)
        page = await browser.get(f"/accesses/{index}")
        assert "Don't you recognise this query?" in page.text
        page = await browser.send(page, page.form_to("/accesses/"), {"words": WORDS})
        assert page.path == f"/accesses/{index}"
        assert "Nobody has taken it up yet" in page.text
        assert WORDS in page.text

        inspecting = await inspector(site, http)
        listed = await inspecting.used("cases", state="open")
        CasesOut.model_validate(listed)
        (case,) = listed["cases"]
        subject = str((await person(site.vault, ENROLLED)).person.subject_id)
        assert subject not in str(listed)
        assert WORDS not in str(listed)
        case_id = case["case"]
        problem(await inspecting.use("cases/answer", case=case_id, answer=ANSWER), 409, "conflict")
        opened = await inspecting.used("cases/read", case=case_id)
        CaseOut.model_validate(opened)
        assert (opened["entry"], opened["words"], opened["state"]) == (index, WORDS, "open")
        ChangedCaseOut.model_validate(await inspecting.used("cases/take-up", case=case_id))
        problem(await inspecting.use("cases/take-up", case=case_id), 409, "conflict")
        assert "They are looking into it" in (await browser.get(f"/accesses/{index}")).text
        done = await inspecting.used("cases/answer", case=case_id, answer=ANSWER)
        assert done["state"] == "answered"
        problem(await inspecting.use("cases/answer", case=case_id, answer=ANSWER), 409, "conflict")
        page = await browser.get(f"/accesses/{index}")
        assert ANSWER in page.text
        everything = (await browser.get("/accesses?show=everything")).text
        assert "Example Data Protection Inspectorate answered you" in everything
        own = (await browser.http.get("/v1/me/cases")).json()
        OwnCasesOut.model_validate(own)
        (mine,) = own["cases"]
        assert (mine["case"], mine["entry"], mine["state"]) == (case_id, index, "answered")
        assert (mine["words"], mine["answer"]) == (WORDS, ANSWER)
        officer = str(site.cast["inspectorate"].officer_id)
        assert officer not in str((await browser.http.get("/v1/me/accesses")).json())
    # The body that asked holds what it held, and the register of cases tells nothing of person or query.
    assert asked.status_code == httpx.codes.OK
    async with site.vault.engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM vault.access_case"))).one()
    assert subject not in str(row)
    assert index not in tuple(row)
    log = site.vault.log
    report = await examine_log(log, altered=(CryptoError,), retention_years=10, owners=StreamOwners())
    assert report.sound, report.findings


async def test_each_step_is_an_entry_and_each_use_too(site: Site) -> None:
    await site.court_asks(ENROLLED)
    async with site.browser() as browser, asking(site.url) as http:
        await browser.sign_in(ENROLLED)
        response = await not_recognised(browser, await newest_query(browser))
        case_id = OpenedCaseOut.model_validate(response.json()).case
        inspecting = await inspector(site, http)
        await inspecting.used("cases/take-up", case=str(case_id))
        await inspecting.used("cases/answer", case=str(case_id), answer=ANSWER)
        accesses = (await browser.http.get("/v1/me/accesses")).json()["accesses"]
        entries = (await inspecting.used("entries", **recent()))["entries"]
    events = [one["details"].get("event") for one in accesses if "event" in one["details"]]
    assert events[:3] == ["case answered", "case taken up", "query not recognised"]
    kinds = [one["kind"] for one in accesses][:3]
    assert kinds == ["inspection", "inspection", "own rights"]
    system = [one["event"] for one in entries if one["kind"] == "inspection"]
    # One in the person's stream and one, with the officer, in the system's.
    assert system.count("case taken up") == system.count("case answered") == 2


async def test_only_ones_own_queries_and_each_once(site: Site) -> None:
    await site.court_asks(ENROLLED)
    async with site.browser() as browser, site.browser() as other:
        await browser.sign_in(ENROLLED)
        index = await newest_query(browser)
        await other.sign_in(OTHER)
        problem(await not_recognised(other, index), 404, "not-found")
        problem(await not_recognised(browser, index, csrf="wrong"), 403, "forbidden")
        record = (await browser.http.get("/v1/me/accesses")).json()["accesses"][-1]
        assert record["kind"] == "record"
        problem(await not_recognised(browser, record["index"]), 404, "not-found")
        problem(await not_recognised(browser, index, words="x" * 1001), 400, "invalid-request")
        problem(await not_recognised(browser, index, words="a\u200bb"), 400, "invalid-request")
        assert (await browser.http.get("/v1/me/cases")).json() == {"cases": []}
        assert (await not_recognised(browser, index, words=" two\nlines ")).status_code == httpx.codes.OK
        problem(await not_recognised(browser, index), 409, "conflict")
        (mine,) = (await browser.http.get("/v1/me/cases")).json()["cases"]
        assert (mine["words"], mine["state"]) == ("two lines", "open")
        assert (await other.http.get("/v1/me/cases")).json() == {"cases": []}


async def test_cases_there_are_not_and_answers_that_say_nothing(site: Site) -> None:
    async with asking(site.url) as http:
        inspecting = await inspector(site, http)
        unknown = "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11"
        for what, more in (("read", {}), ("take-up", {}), ("answer", {"answer": "x"})):
            problem(await inspecting.use(f"cases/{what}", case=unknown, **more), 404, "not-found")
        for answer in ("", " ", "a\u200bb", "x" * 2001):
            response = await inspecting.use("cases/answer", case=unknown, answer=answer)
            problem(response, 400, "invalid-request")
        assert (await inspecting.used("cases"))["cases"] == []


async def test_a_case_whose_content_is_gone_still_stands(site: Site, owner_url: str) -> None:
    await site.court_asks(ENROLLED)
    async with site.browser() as browser, asking(site.url) as http:
        await browser.sign_in(ENROLLED)
        case_id = (await not_recognised(browser, await newest_query(browser))).json()["case"]
        engine = create_engine(owner_url)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "DELETE FROM access_log.payload WHERE index = (SELECT opened_index FROM vault.access_case)"
            )
        engine.dispose()
        inspecting = await inspector(site, http)
        found = await inspecting.used("cases/read", case=case_id)
        assert (found["entry"], found["words"], found["state"]) == (None, None, "open")
        problem(await inspecting.use("cases/take-up", case=case_id), 409, "conflict")


@pytest.mark.parametrize("step", ["cases", "cases/take-up"])
async def test_an_inspector_who_may_not_learns_nothing(site: Site, step: str) -> None:
    async with asking(site.url) as http:
        inspecting = await inspector(site, http)
        async with site.vault.log.writing() as writing:
            officer = site.cast["inspectorate"].officer_id
            await bodies.stand_down_officer(writing, officer, "left", OPERATOR)
        asked = {} if step == "cases" else {"case": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11"}
        refused = problem(await inspecting.use(step, **asked), 403, "refused")
        assert refused["rule"] == "RULES 11.3"
