"""Two identities of one person, over HTTP: merged, asked about, read, proven, and taken apart again."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import create_engine, text

from access_log.checkpoint import VerifierKey
from access_log.entry import EntryType
from access_log.fsck import examine_log
from access_log.payload import check_opening
from access_log.receipt import verify_receipt
from consent.oauth import rar
from demo.cast import COURT_CASE
from demo.client import BodyClient
from tests.flows.audit import check_uses, check_whole
from tests.vault.people import ENROLLED, OTHER, person
from tests.vault.server.portal.conftest import CASE, FIELDS, Browser, Site
from tests.vault.server.portal.test_me import audited
from vault.crypto.errors import CryptoError
from vault.records.covert import StreamOwners
from vault.rights.material import give_material
from vault.server.cli.signing import Signing
from vault.server.portal.fictitious import fictitious_identity

BY_SPLIT = {"do": "split-person", "reason": "merged-wrongly", "document_sha256": "cd" * 32}
BY_MERGE = {"do": "merge-persons", "reason": "number-replaced", "document_sha256": "ab" * 32}
JsonObject = dict[str, Any]


def registrar(site: Site, number: int) -> Signing:
    cast = site.cast
    return Signing(cast.registrar_ids[number], cast.registrar_keys[number].as_dict(private=True))


async def handed_in(site: Site, path: str, compact: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=site.url, trust_env=False, timeout=30) as http:
        return await http.post(f"/v1/registers/{path}", json={"statement": compact})


async def ordered(site: Site, act: JsonObject, by: int = 1) -> httpx.Response:
    """The first registrar orders it, and another one agrees."""
    content = json.dumps(act)
    placed = await handed_in(site, "statements", registrar(site, 0).order(site.url, content))
    assert placed.status_code == httpx.codes.ACCEPTED, placed.text
    return await handed_in(
        site, "statements", registrar(site, by).agree(site.url, placed.json()["id"], content)
    )


async def identity(site: Site, n: int) -> str:
    compact = registrar(site, 0).name(site.url, "demo-id", fictitious_identity(n)[0])
    return str((await handed_in(site, "person", compact)).json()["person"])


async def merged(site: Site) -> tuple[str, str]:
    one, other = await identity(site, ENROLLED), await identity(site, OTHER)
    done = await ordered(site, {**BY_MERGE, "person": one, "other": other})
    assert done.status_code == httpx.codes.OK, done.text
    return one, other


async def bank_asks(site: Site, n: int, consented: int, **asked: Any) -> httpx.Response:
    """The bank asks about person `n` with what person `consented` granted."""
    bank = site.cast["bank"]
    row = await person(site.vault, consented)
    consent_id = asked.pop("consent", None) or await site.consent(consented)
    async with httpx.AsyncClient(base_url=site.url, trust_env=False, timeout=30) as http:
        client = BodyClient(http, site.url, bank.body_id, bank.key)
        token = site.vault.profile.token_issuer().issue(
            body_id=bank.body_id,
            subject_id=row.person.subject_id,
            grant_id=consent_id,
            details=rar.ConsentedQuery(
                purpose="credit-granting", fields=FIELDS, mode="view", validity=30, max_uses=3
            ),
            jkt=client._proof_key.thumbprint(),
            now=asked.pop("now"),
        )
        query = {
            "subject": {"scheme": "demo-id", "number": fictitious_identity(n)[0]},
            "purpose": "credit-granting",
            "fields": list(FIELDS),
            "officer": str(bank.officer_id),
            "case_reference": CASE,
        }
        return await client.query(token, query, **asked)


async def get(browser: Browser, path: str) -> JsonObject:
    response = await browser.http.get(path)
    assert response.status_code == httpx.codes.OK, response.text
    return dict(response.json())


async def seen_by(site: Site, n: int) -> list[JsonObject]:
    async with site.browser() as browser:
        await browser.sign_in(n)
        return list((await get(browser, "/v1/me/accesses"))["accesses"])


def opened(site: Site, proof: JsonObject) -> tuple[int, JsonObject]:
    """The index of an entry, and what its receipt and opening prove."""
    key = VerifierKey.parse(site.vault.log.key.verifier_key())
    found = verify_receipt(proof["receipt"], [key])
    return found.index, dict(check_opening(found.entry, proof["opening"]))


def both(ids: tuple[str, str]) -> list[tuple[int, str, str]]:
    """Each number, the identity under it, and the other."""
    one, other = ids
    return [(ENROLLED, one, other), (OTHER, other, one)]


async def test_both_streams_prove_each_query_and_after_a_split_each_its_own(
    site: Site, tmp_path: Path
) -> None:
    ids = await merged(site)
    places: dict[str, set[int]] = {one: set() for one in ids}
    for n, own, beside in both(ids):
        answer = await site.court_asks(n)
        assert answer.status_code == httpx.codes.OK, answer.text
        found = answer.json()
        assert len(found["records"]) == 2
        first, (companion,) = found, found["companions"]
        (at, said), (behind, repeated) = opened(site, first), opened(site, companion)
        assert behind == at + 1
        assert (said["reason"], repeated["reason"]) == (None, "RULES 13.2")
        assert {**said, "reason": ""} == {**repeated, "reason": ""}
        places[own].add(at)
        places[beside].add(behind)
    refused = await site.court_asks(ENROLLED, "credit-granting")
    assert refused.status_code == httpx.codes.FORBIDDEN
    refused_at, _ = opened(site, refused.json())

    for n, own in ((ENROLLED, ids[0]), (OTHER, ids[1])):
        async with site.browser() as browser:
            await browser.sign_in(n)
            listed = await get(browser, "/v1/me/accesses")
            assert (set(listed["identities"]), listed["identities"][0]) == (set(ids), own)
            queries = {
                one["index"]: one["identity"] for one in listed["accesses"] if one["purpose"] is not None
            }
            assert queries == {
                **{at: one for one, found in places.items() for at in found},
                refused_at: ids[0],
            }
            records = await get(browser, "/v1/me/records")
            assert {one["identity"] for one in records["records"]} == set(ids)
            assert len(records["companions"]) == 1
            keys = (await browser.http.get("/v1/me/log-keys")).content
            page = await browser.get("/accesses")
            assert "2 identity numbers to be yours" in page.text
    code, said = await audited(site, tmp_path, keys)
    assert (code, said["complete"], [one["kind"] for one in said["streams"]]) == (0, True, ["person"] * 2)

    done = await ordered(site, {**BY_SPLIT, "person": ids[1]})
    assert done.status_code == httpx.codes.OK, done.text
    assert len((await site.court_asks(ENROLLED)).json()["records"]) == 1
    for n, own, beside in both(ids):
        listed_now = await seen_by(site, n)
        assert {one["identity"] for one in listed_now} == {own}
        assert places[own] <= {one["index"] for one in listed_now}
        assert not places[beside] & {one["index"] for one in listed_now}
        # Who looked while they were joined stays to be read, as somebody else.
        roles = [one["details"].get("actor_role") for one in listed_now]
        assert "joined identity" in roles
        given = await give_material(site.vault.log, UUID(own), 10)
        assert given is not None
        assert len(given.streams) == 1
    vault = site.vault
    logged = await check_whole(vault)
    assert sum((await check_uses(vault, logged)).values()) == 3
    report = await examine_log(vault.log, altered=(CryptoError,), retention_years=10, owners=StreamOwners())
    assert report.sound, report.findings


async def test_a_consent_and_a_freeze_are_the_persons_under_each_number(site: Site) -> None:
    async with site.vault.log.writing() as writing:
        now = writing.now
    assert (await bank_asks(site, OTHER, ENROLLED, now=now)).json()["rule"] == "RULES 4.3"
    ids = await merged(site)
    consent = await site.consent(ENROLLED)
    first = await bank_asks(site, OTHER, ENROLLED, consent=consent, now=now, idempotency_key="k")
    assert len(first.json()["records"]) == 2, first.text
    size = (await check_whole(site.vault))[-1].index
    again = await bank_asks(site, OTHER, ENROLLED, consent=consent, now=now, idempotency_key="k")
    assert again.json()["records"] == first.json()["records"]
    indexes = [opened(site, one)[0] for one in (first.json(), *first.json()["companions"])]
    assert [opened(site, one)[0] for one in (again.json(), *again.json()["companions"])] == indexes
    logged = await check_whole(site.vault)
    assert logged[-1].index == size
    assert (await check_uses(site.vault, logged))[consent] == 1

    async with site.browser() as browser:
        await browser.sign_in(OTHER)
        token = (await browser.me())["csrf_token"]
        headers = {"X-CSRF-Token": token}
        assert (await browser.http.post("/v1/me/freeze", headers=headers)).status_code == httpx.codes.OK
        assert (await bank_asks(site, ENROLLED, ENROLLED, consent=consent, now=now)).json()[
            "rule"
        ] == "RULES 3.5"
        assert (await browser.http.post("/v1/me/freeze", headers=headers)).status_code == httpx.codes.CONFLICT
        (listed,) = [
            one
            for one in (await get(browser, "/v1/me/consents"))["consents"]
            if one["consent_id"] == str(consent)
        ]
        assert listed["state"] == "active"
        withdrawn = await browser.http.post(f"/v1/me/consents/{consent}/withdraw", headers=headers)
        assert withdrawn.status_code == httpx.codes.OK, withdrawn.text
    frozen = [
        one.values["subject"]
        for one in await check_whole(site.vault)
        if one.values.get("event") == "freeze.begun"
    ]
    assert set(frozen) == set(ids)

    assert (await ordered(site, {**BY_SPLIT, "person": ids[0]})).status_code == httpx.codes.OK
    repeated = await bank_asks(site, OTHER, ENROLLED, consent=consent, now=now, idempotency_key="k")
    assert repeated.status_code == httpx.codes.FORBIDDEN


async def test_a_repeat_after_a_split_opens_nothing_of_the_other(site: Site) -> None:
    ids = await merged(site)
    court = site.cast["court"]
    subject = {"scheme": "demo-id", "number": fictitious_identity(ENROLLED)[0]}
    query = {
        "subject": subject,
        "purpose": "court-enforcement",
        "fields": ["FIN.type"],
        "officer": str(court.officer_id),
        "case_reference": COURT_CASE,
    }
    async with httpx.AsyncClient(base_url=site.url, trust_env=False, timeout=30) as http:
        client = BodyClient(http, site.url, court.body_id, court.key)
        details = {
            "type": "statutory_query",
            "authorization": str(site.cast.authorization),
            "actions": ["read"],
        }
        token = await client.statutory_token({**details, **query})
        first = (await client.query(token, query, idempotency_key="k")).json()
        assert (await ordered(site, {**BY_SPLIT, "person": ids[1]})).status_code == httpx.codes.OK
        again = (await client.query(token, query, idempotency_key="k")).json()
    assert (len(first["records"]), len(again["records"])) == (2, 1)
    assert again["companions"] == []
    assert opened(site, again)[0] == opened(site, first)[0]


async def test_an_answer_that_is_not_released_is_taken_back_in_both_streams(
    site: Site, owner_url: str
) -> None:
    ids = await merged(site)
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        altered = connection.execute(
            text(
                "UPDATE vault.record SET key_check = set_byte(key_check, 0, get_byte(key_check, 0) # 1)"
                " WHERE category = 'FIN' AND subject_id = :id"
            ),
            {"id": ids[1]},
        )
        assert altered.rowcount == 1
    engine.dispose()
    consent = await site.consent(ENROLLED)
    async with site.vault.log.writing() as writing:
        now = writing.now
    failed = await bank_asks(site, ENROLLED, ENROLLED, consent=consent, now=now)
    assert failed.status_code == httpx.codes.SERVICE_UNAVAILABLE, failed.text
    # What is owed is settled by the next batch.
    assert (await bank_asks(site, ENROLLED, ENROLLED, consent=consent, now=now)).status_code != httpx.codes.OK
    logged = await check_whole(site.vault)
    taken_back = [one.values["subject"] for one in logged if one.entry.type is EntryType.NOT_RELEASED]
    assert sorted(taken_back[:2]) == sorted(ids)
    await check_uses(site.vault, logged)


async def test_only_two_registrars_merge_and_split(site: Site) -> None:
    one, other = await identity(site, ENROLLED), await identity(site, OTHER)
    merge, split = {**BY_MERGE, "person": one, "other": other}, {**BY_SPLIT, "person": one}
    forbidden, conflict, unknown = httpx.codes.FORBIDDEN, httpx.codes.CONFLICT, httpx.codes.NOT_FOUND
    for act, by, status in (
        (merge, 0, forbidden),
        ({**merge, "other": one}, 1, conflict),
        ({**merge, "other": "4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11"}, 1, unknown),
        (split, 1, conflict),
        (merge, 1, httpx.codes.OK),
        (merge, 1, conflict),
        (split, 0, forbidden),
        (split, 1, httpx.codes.OK),
    ):
        assert (await ordered(site, act, by)).status_code == status, act
    malformed = json.dumps({**merge, "reason": "They look alike."})
    refused = await handed_in(site, "statements", registrar(site, 0).order(site.url, malformed))
    assert refused.status_code == httpx.codes.BAD_REQUEST
