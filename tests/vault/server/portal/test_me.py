import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import create_engine

from access_log.checkpoint import VerifierKey
from access_log.material import read_material
from access_log.payload import check_opening
from access_log.receipt import verify_receipt
from access_log.signing_keys import CosigningKey
from access_log.verifier_keys import ED25519_COSIGNATURE
from tests.vault.people import ENROLLED, OTHER, UNKNOWN
from tests.vault.server.portal.conftest import FIELDS, Browser, Site
from vault.server.jobs import append_roots
from vault.server.portal.fictitious import fictitious_identity
from vault.server.portal.schemas import AccessOut, AccessProofOut, ConsentOut, LogKeysOut

READS = (
    "/v1/me",
    "/v1/me/accesses",
    "/v1/me/accesses/0",
    "/v1/me/log-keys",
    "/v1/me/records",
    "/v1/me/consents",
)
ROOT = Path(__file__).parents[4]
STRANGER = str(CosigningKey.from_seed("stranger.test", ED25519_COSIGNATURE, b"s" * 32).key)


async def get(browser: Browser, path: str) -> dict[str, object]:
    response = await browser.http.get(path)
    assert response.status_code == httpx.codes.OK, response.text
    return dict(response.json())


async def test_without_a_session_nothing_is_told(site: Site) -> None:
    async with site.browser() as browser:
        answers = [await browser.http.get(path) for path in READS]
        answers.append(await browser.http.post(f"/v1/me/consents/{uuid4()}/withdraw"))
    for answer in answers:
        assert answer.status_code == httpx.codes.UNAUTHORIZED
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("Cookie ")
        assert answer.json()["type"] == "urn:creditvault:problem:not-signed-in"


async def test_a_bodys_token_is_no_session(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.http.get("/v1/me", headers={"Authorization": "DPoP x", "DPoP": "x"})
    assert answer.status_code == httpx.codes.UNAUTHORIZED


async def test_who_asked_what_for_and_on_which_basis(site: Site) -> None:
    await site.court_asks(ENROLLED)
    await site.court_asks(ENROLLED, "credit-granting")
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        refused, permitted, *_ = (await browser.http.get("/v1/me/accesses")).json()["accesses"]
        proof = (await browser.http.get(f"/v1/me/accesses/{permitted['index']}")).json()
        newer = await browser.http.get(permitted["proof"])
    assert permitted["decision"] == "permitted"
    assert permitted["body"]["name"] == "Example District Court"
    assert permitted["officer_role"] == "case officer"
    assert permitted["purpose"] == "court-enforcement"
    assert permitted["basis"] == {
        "kind": "authorization",
        "title": "Fictitious Enforcement Act",
        "article": "Article 1",
        "granted_at": None,
    }
    assert (permitted["fields"], permitted["records_shown"], permitted["released"]) == (["FIN.type"], 1, True)
    assert permitted["rule"] is permitted["reason"] is None
    assert refused["decision"] == "refused"
    assert refused["rule"].startswith("RULES ")
    assert refused["reason"]
    assert (refused["records_shown"], refused["released"]) == (None, False)
    key = VerifierKey.parse(site.vault.log.key.verifier_key())
    verified = verify_receipt(proof["receipt"], [key])
    assert verified.index == permitted["index"]
    assert verify_receipt(newer.text, [key]).entry == verified.entry
    assert check_opening(verified.entry, proof["opening"])["fields"] == ["FIN.type"]


async def test_my_records_hold_everything_and_the_view_is_logged(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        answer = (await browser.http.get("/v1/me/records")).json()
        newest = (await browser.http.get("/v1/me/accesses")).json()["accesses"][0]
    records = {one["category"]["code"]: one for one in answer["records"]}
    assert records["IDN"]["fields"]["number"] == fictitious_identity(ENROLLED)[0]
    contract = records["FIN"]
    assert contract["category"]["title"] == "Credit contract"
    assert contract["fields"]["contract_start"] == "2026-01-15"
    assert contract["source"]["document"]["number"] == "CONTRACT-1"
    assert contract["display"]["first_day"] == "2026-01-15"
    assert contract["supporting"] == {"reference": "LOAN-1"}
    assert f"\nindex {newest['index']}\n" in answer["receipt"]
    assert newest["kind"] == "own rights"


async def test_a_consent_is_withdrawn_once_with_the_token_of_the_session(site: Site) -> None:
    consent_id = await site.consent(ENROLLED, frequency=None)
    path = f"/v1/me/consents/{consent_id}/withdraw"
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        for wrong in (b"", b"x", b"\xe9", b"0" * 64):
            answer = await browser.http.post(path, headers=[(b"X-CSRF-Token", wrong)])
            assert answer.status_code == httpx.codes.FORBIDDEN
            assert answer.json()["type"] == "urn:creditvault:problem:forbidden"
        (before,) = (await browser.http.get("/v1/me/consents")).json()["consents"]
        token = {"X-CSRF-Token": (await browser.me())["csrf_token"]}
        done = await browser.http.post(path, headers=token)
        again = await browser.http.post(path, headers=token)
        (after,) = (await browser.http.get("/v1/me/consents")).json()["consents"]
    assert (before["state"], before["fields"], before["max_uses"]) == ("active", list(FIELDS), 3)
    assert done.status_code == httpx.codes.OK
    assert (done.json()["consent_id"], done.json()["state"]) == (str(consent_id), "withdrawn")
    assert done.json()["copy_jws"] == after["copy_jws"] != before["copy_jws"]
    assert [event["event"] for event in after["events"]] == ["granted", "withdrawn"]
    assert (again.status_code, again.json()["type"]) == (409, "urn:creditvault:problem:conflict")


async def test_what_is_somebody_elses_is_as_if_it_were_not(site: Site) -> None:
    await site.court_asks(OTHER)
    consent_id = await site.consent(OTHER)
    async with site.browser() as other, site.browser() as browser:
        await other.sign_in(OTHER)
        theirs = (await other.http.get("/v1/me/accesses")).json()["accesses"][0]["index"]
        await browser.sign_in(ENROLLED)
        token = {"X-CSRF-Token": (await browser.me())["csrf_token"]}
        mine, none = f"/v1/me/consents/{consent_id}/withdraw", f"/v1/me/consents/{uuid4()}/withdraw"
        answers = [await browser.http.post(path, headers=token) for path in (mine, none)]
        answers += [await browser.http.get(f"/v1/me/accesses/{index}") for index in (theirs, 10**9)]
        malformed = await browser.http.post("/v1/me/consents/x/withdraw", headers=token)
        (still,) = (await other.http.get("/v1/me/consents")).json()["consents"]
    assert {answer.status_code for answer in answers} == {httpx.codes.NOT_FOUND}
    assert len({answer.text for answer in answers}) == 1
    assert malformed.status_code == httpx.codes.BAD_REQUEST
    assert still["state"] == "active"


async def test_someone_unknown_is_told_that_nothing_is_held(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(UNKNOWN)
        me = await browser.me()
        assert (me["known"], me["display_name"]) == (False, fictitious_identity(UNKNOWN)[1])
        assert await get(browser, "/v1/me/accesses") == {"identities": [], "accesses": [], "removed": None}
        assert await get(browser, "/v1/me/records") == {"records": [], "receipt": None, "companions": []}
        assert await get(browser, "/v1/me/consents") == {"consents": []}
        answer = await browser.http.post(
            f"/v1/me/consents/{uuid4()}/withdraw", headers={"X-CSRF-Token": me["csrf_token"]}
        )
        assert answer.status_code == httpx.codes.NOT_FOUND


@pytest.mark.parametrize("path", [*READS[:2], "/v1/me/accesses/{index}", *READS[3:]])
async def test_every_route_is_documented(site: Site, path: str) -> None:
    async with site.browser() as browser:
        document = (await browser.http.get("/openapi.json")).json()
    operation = document["paths"][path]["get"]
    assert operation["summary"]
    assert operation["security"] == [{"citizen_session": []}]
    assert "$ref" in operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert "401" in operation["responses"]
    assert document["components"]["securitySchemes"]["citizen_session"]["in"] == "cookie"
    assert not [
        each for each in document["paths"] if each.startswith(("/demo-provider", "/sign", "/consents"))
    ]


def test_every_example_is_one() -> None:
    for model in (AccessOut, AccessProofOut, ConsentOut):
        for example in model.model_json_schema()["examples"]:
            model.model_validate(example)


async def audited(site: Site, folder: Path, material: bytes, *options: str) -> tuple[int, dict[str, Any]]:
    """What `audit-person` says, run as a person runs it: a process with the file and the log's address."""
    file = folder / "log-keys.json"
    file.write_bytes(material)
    done = await asyncio.to_thread(
        subprocess.run,
        [
            sys.executable,
            "-m",
            "access_log",
            "audit-person",
            str(file),
            f"{site.url}/log",
            "--log-key",
            site.vault.log.key.verifier_key(),
            "--json",
            *options,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


async def log_keys(site: Site) -> bytes:
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        answer = await browser.http.get("/v1/me/log-keys")
        assert answer.status_code == httpx.codes.OK, answer.text
        assert answer.headers["content-type"] == "application/json"
        newest = (await browser.http.get("/v1/me/accesses")).json()["accesses"][0]
    assert newest["details"]["event"] == "log keys given"
    LogKeysOut.model_validate_json(answer.content)
    assert read_material(answer.content).encode() == answer.content
    return answer.content


async def test_a_person_checks_that_nothing_is_hidden(site: Site, tmp_path: Path) -> None:
    await site.court_asks(ENROLLED)
    await site.court_asks(OTHER)
    await site.court_asks(ENROLLED, "credit-granting")
    await site.consent(ENROLLED)
    material = await log_keys(site)
    code, found = await audited(site, tmp_path, material)
    assert (code, found["complete"]) == (0, True), found
    (stream,) = found["streams"]
    # Enrolment, a query, a refused one, a consent, and that the keys were given.
    assert sum(month["entries"] for month in stream["months"]) == stream["opened"] == 5
    await site.court_asks(ENROLLED)
    code, found = await audited(site, tmp_path, material)
    assert (code, len(found["streams"][0]["newer"])) == (0, 1)


async def test_a_person_need_not_read_the_log_where_it_proves_labels(site: Site, tmp_path: Path) -> None:
    await site.court_asks(ENROLLED)
    await site.court_asks(OTHER)
    material = await log_keys(site)
    (key,) = await site.vault.roots.verifier_keys()
    asked = (site, tmp_path, material, "--roots-key", str(key))
    code, found = await audited(*asked)
    assert (code, found["tampered"]) == (2, False)
    assert "no root covers" in found["reason"]
    await append_roots(site.vault.roots)
    code, found = await audited(*asked)
    assert (code, found["complete"], found["mode"], found["audited"]) == (0, True, "proofs", False), found
    assert (found["pending"], found["streams"][0]["opened"]) == (0, 3)
    await site.court_asks(ENROLLED)
    code, found = await audited(site, tmp_path, await log_keys(site), *asked[3:])
    assert (code, found["pending"], found["streams"][0]["opened"]) == (0, 2, 3)
    less = json.loads(material)
    del less["streams"][0]["entries"][1]
    code, found = await audited(site, tmp_path, json.dumps(less).encode(), *asked[3:])
    assert (code, len(found["missing"])) == (1, 1)
    assert "withheld" in found["reason"]
    code, found = await audited(*asked, "--auditor-key", STRANGER)
    assert (code, "no auditor" in found["reason"]) == (1, True)


async def test_what_is_hidden_from_a_person_is_named(site: Site, tmp_path: Path, owner_url: str) -> None:
    await site.court_asks(ENROLLED)
    asked = read_material(await log_keys(site)).streams[0].entries[1].index
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM access_log.payload WHERE index = {asked}")
    # The vault itself shows the person an entry without content now; their own check says that this is wrong.
    code, found = await audited(site, tmp_path, await log_keys(site))
    assert (code, found["index"]) == (1, asked)
    assert "withheld" in found["reason"]
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE access_log.entry DISABLE TRIGGER USER")
        connection.exec_driver_sql(
            "UPDATE access_log.entry SET entry = overlay(entry placing decode(repeat('00', 32), 'hex')"
            f" from 43) WHERE index = {asked}"
        )
    engine.dispose()
    # With another label the vault shows nothing at all any more; the log does not verify.
    code, found = await audited(site, tmp_path, await log_keys(site))
    assert (code, found["index"]) == (1, asked)


async def test_who_is_unknown_has_no_keys(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(UNKNOWN)
        answer = await browser.http.get("/v1/me/log-keys")
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.json()["type"] == "urn:creditvault:problem:not-found"


async def test_the_page_offers_the_keys(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        page = await browser.get("/accesses")
        assert "/accesses/log-keys" in page.text or "Keys of my log" in page.text
        answer = await browser.http.get("/accesses/log-keys")
    assert answer.headers["content-disposition"] == 'attachment; filename="log-keys.json"'
    assert read_material(answer.content).streams[0].entries
