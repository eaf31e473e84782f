"""What a person sees, grants, narrows and refuses; and what the body learns of it."""

import base64
import json
from typing import Any

import pytest
from sqlalchemy import text

from access_log.entry import EntryType
from access_log.log import Log
from consent.bodies import strike_off_body, suspend_body
from consent.oauth.authorize import FORGED, GONE, MALFORMED, UNANSWERABLE
from consent.oauth.citizens import ShownNotice
from consent.oauth.par import URN
from consent.record import Notice
from tests.consent.logged import newest, payloads
from tests.consent.oauth.world import (
    CALLBACK,
    ISSUER,
    Browser,
    Client,
    DataPage,
    World,
    answered,
    consented,
    content,
)
from tests.consent.registers import OPERATOR

TABLES = ("pushed_request", "authorization_code", "oauth_grant", "consent", "consent_event")


async def counts(world: World) -> dict[str, int]:
    async with world.log.engine.connect() as connection:
        return {
            table: (await connection.execute(text(f"SELECT count(*) FROM consent.{table}"))).scalar_one()
            for table in TABLES
        }


async def test_the_page_shows_what_is_registered_and_asked(bank: Client, citizen: Browser) -> None:
    asked = consented(
        mode="store",
        frequency={"times": 2, "days": 7},
        data_range={"from": "2024-01-01", "until": "2024-12-31"},
    )
    request_uri = await bank.request_uri(authorization_details=json.dumps([asked]))
    page = (await citizen.open(bank, request_uri)).json()
    assert page["body"] == {
        "name": "Fictitious Bank",
        "kind": "bank",
        "uscc": "91999999MA00000079",
        "address": "1 Test Street",
        "contact": "privacy@bank.example",
    }
    assert (page["purpose"], page["fields"]) == ("credit-granting", ["FIN.type", "FIN.status"])
    assert (page["mode"], page["validity"], page["max_uses"]) == ("store", 30, 3)
    assert page["frequency"] == {"times": 2, "days": 7}
    assert (page["data_from"], page["data_until"]) == ("2024-01-01", "2024-12-31")
    assert page["display_name"] == "citizen"
    assert page["redirect_origin"] == "https://bank.example"
    assert (page["action"], page["mistake"]) == ("/oauth/authorize", None)


async def test_who_is_not_signed_in_signs_in_first_and_comes_back(world: World, bank: Client) -> None:
    request_uri = await bank.request_uri()
    query = {"client_id": bank.client_id, "request_uri": request_uri}
    opened = await world.http.get("/oauth/authorize", params=query | {"login_hint": "attacker"})
    sent = await world.http.post("/oauth/authorize", data=query | {"decision": "grant"})
    # A form is answered by a page with the way to the sign-in: its answer may not lead to another site.
    assert (opened.status_code, sent.status_code) == (303, 403)
    for url in (opened.headers["location"], sent.text):
        encoded = url.removeprefix("/sign-in?return_to=")
        return_to = base64.urlsafe_b64decode(encoded).decode()
        assert return_to.startswith("/oauth/authorize?client_id=")
        assert "attacker" not in return_to
        page = await world.http.get(return_to, headers=world.browser().cookies)
        assert page.json()["request_uri"] == request_uri


async def test_who_signed_in_too_weakly_signs_in_again_to_grant_and_not_to_refuse(
    world: World, bank: Client
) -> None:
    weak, citizen = Browser(world.http, "weak citizen"), world.browser()
    request_uri = await bank.request_uri()
    opened = await weak.open(bank, request_uri)
    assert opened.status_code == 303
    assert opened.headers["location"].startswith("/sign-in?")
    page = (await citizen.open(bank, request_uri)).json()
    before, entries = await counts(world), len(await payloads(world.log))
    granted = await weak.send(page)
    assert (granted.status_code, granted.text.partition("?")[0]) == (403, "/sign-in")
    assert (await counts(world), len(await payloads(world.log))) == (before, entries)
    refused = await weak.send(page, decision="refuse")
    assert answered(refused)["error"] == "access_denied"


async def test_looking_writes_nothing_and_the_page_may_be_reloaded(
    world: World, bank: Client, citizen: Browser
) -> None:
    request_uri = await bank.request_uri()
    before, entries = await counts(world), len(await payloads(world.log))
    for _ in range(3):
        assert (await citizen.open(bank, request_uri)).status_code == 200
    assert (await counts(world), len(await payloads(world.log))) == (before, entries)


async def test_a_grant_is_logged_before_the_code_leaves(world: World, bank: Client, citizen: Browser) -> None:
    page = (await citizen.open(bank, await bank.request_uri())).json()
    response = await citizen.send(page)
    assert response.status_code == 303
    assert response.headers["location"].startswith(CALLBACK + "?")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert set(answered(response)) == {"code", "state", "iss"}
    assert answered(response)["iss"] == ISSUER
    entry = (await payloads(world.log))[-1]
    assert entry.type is EntryType.CONSENT
    values = await newest(world.log)
    assert (values["event"], values["body"]) == ("consent.granted", bank.client_id)
    claims = content((await bank.exchange(answered(response)["code"])).json()["access_token"])[1]
    assert claims["grant"] == values["object"]
    assert claims["sub"] == f"subject:{values['subject']}"


async def test_the_person_may_grant_less(world: World, bank: Client, citizen: Browser) -> None:
    code = await citizen.grant(bank, await bank.request_uri(), fields=["FIN.status"], validity="7")
    body = (await bank.exchange(code)).json()
    (claim,) = content(body["access_token"])[1]["authorization_details"]
    assert body["authorization_details"] == [claim]
    assert (claim["fields"], claim["validity"]) == (["FIN.status"], 7)
    async with world.log.engine.connect() as connection:
        row = (
            await connection.execute(text("SELECT fields, expires_at - granted_at FROM consent.consent"))
        ).one()
    assert (row[0], row[1].days) == (["FIN.status"], 7)


async def test_a_consent_holds_what_was_asked(world: World, bank: Client, citizen: Browser) -> None:
    asked = consented(
        mode="store", max_uses=None, frequency={"times": 2, "days": 7}, data_range={"from": "2024-01-01"}
    )
    await citizen.grant(bank, await bank.request_uri(authorization_details=json.dumps([asked])))
    async with world.log.engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM consent.consent"))).mappings().one()
    assert (row["frequency_times"], row["frequency_days"], row["max_uses"]) == (2, 7, None)
    assert (row["data_from"].isoformat(), row["data_until"]) == ("2024-01-01", None)
    assert (row["mode"], row["data_life_days"], row["language"]) == ("store", 30, "zh-CN")


@pytest.mark.parametrize(("mode", "days"), [("view", 0), ("store", 30)])
async def test_what_is_only_seen_is_not_kept(
    world: World, bank: Client, citizen: Browser, mode: str, days: int
) -> None:
    asked = consented(mode=mode)
    await citizen.grant(bank, await bank.request_uri(authorization_details=json.dumps([asked])))
    async with world.log.engine.connect() as connection:
        life = (await connection.execute(text("SELECT data_life_days FROM consent.consent"))).scalar_one()
    assert life == days


BAD_FORMS: tuple[dict[str, Any], ...] = (
    {"fields": []},
    {"fields": ["FIN.type", "FIN.name"]},
    {"fields": ["FIN.type", "FIN.type"]},
    {"fields": ["\0"]},
    {"validity": "0"},
    {"validity": "31"},
    {"validity": "-1"},
    {"validity": "1e3"},
    {"validity": "٣"},
    {"validity": "9" * 5000},
    {"validity": None},
)


async def test_a_form_that_grants_what_was_not_asked_is_shown_again(
    world: World, bank: Client, citizen: Browser, subtests: pytest.Subtests
) -> None:
    page = (await citizen.open(bank, await bank.request_uri())).json()
    for changes in BAD_FORMS:
        with subtests.test(changes=changes):
            response = await citizen.send(page, **changes)
            assert response.status_code in (200, 400)
            assert response.status_code == 400 or response.json()["mistake"]
    assert (await counts(world))["consent"] == 0
    # Nothing was used up: the mistake can be mended.
    assert (await citizen.send(page)).status_code == 303


async def test_a_refusal_leaves_no_trace(world: World, bank: Client, citizen: Browser) -> None:
    entries = len(await payloads(world.log))
    page = (await citizen.open(bank, await bank.request_uri())).json()
    response = await citizen.send(page, decision="refuse")
    assert response.status_code == 303
    parameters = answered(response)
    assert (parameters["error"], parameters["state"], parameters["iss"]) == (
        "access_denied",
        "a state",
        ISSUER,
    )
    assert set(parameters) == {"error", "error_description", "state", "iss"}
    assert set((await counts(world)).values()) == {0}
    assert len(await payloads(world.log)) == entries


async def test_a_decision_is_final(bank: Client, citizen: Browser) -> None:
    for first in ("grant", "refuse"):
        page = (await citizen.open(bank, await bank.request_uri())).json()
        assert (await citizen.send(page, decision=first)).status_code == 303
        for decision in ("grant", "refuse"):
            response = await citizen.send(page, decision=decision)
            assert (response.status_code, response.text) == (400, GONE)
        assert (await citizen.open(bank, page["request_uri"])).text == GONE


@pytest.mark.parametrize("csrf", ["", "wrong", None, "é"])
async def test_a_form_from_elsewhere_does_nothing(
    world: World, bank: Client, citizen: Browser, csrf: str | None
) -> None:
    page = (await citizen.open(bank, await bank.request_uri())).json()
    for decision in ("grant", "refuse"):
        response = await citizen.send(page, csrf=csrf, decision=decision)
        assert (response.status_code, response.text) == (400, FORGED)
    assert (await counts(world))["pushed_request"] == 1
    assert (await counts(world))["consent"] == 0


async def test_a_request_waits_five_minutes(world: World, bank: Client, citizen: Browser) -> None:
    page = (await citizen.open(bank, await bank.request_uri())).json()
    world.clock.ahead = 301
    assert (await citizen.open(bank, page["request_uri"])).text == GONE
    for decision in ("grant", "refuse"):
        assert (await citizen.send(page, decision=decision)).text == GONE
    assert (await counts(world))["consent"] == 0


async def test_a_request_is_its_clients_own(bank: Client, court: Client, citizen: Browser) -> None:
    request_uri = await bank.request_uri()
    assert (await citizen.open(court, request_uri)).text == GONE


async def test_addresses_that_are_none(world: World, bank: Client, subtests: pytest.Subtests) -> None:
    request_uri = await bank.request_uri()
    for query in (
        "",
        f"client_id={bank.client_id}",
        f"request_uri={request_uri}",
        f"client_id={bank.client_id}&request_uri=https://attacker.example/request",
        f"client_id={bank.client_id}&client_id={bank.client_id}&request_uri={request_uri}",
        f"client_id=%00&request_uri={request_uri}",
        f"client_id=%ff&request_uri={request_uri}",
        # The parameters themselves, without pushing them (FAPI 2.0 §5.3.2.2).
        f"client_id={bank.client_id}&response_type=code&redirect_uri={CALLBACK}",
        "x" * 60_000,
    ):
        with subtests.test(query=query[:80]):
            response = await world.http.get(f"/oauth/authorize?{query}", headers=world.browser().cookies)
            assert (response.status_code, response.text) == (400, MALFORMED)
    for client_id in ("x", bank.client_id.upper(), "信"):
        named = {"client_id": client_id, "request_uri": URN + "x"}
        response = await world.http.get("/oauth/authorize", params=named, headers=world.browser().cookies)
        assert (response.status_code, response.text) == (400, GONE)


async def test_forms_that_are_none(world: World, bank: Client) -> None:
    headers = world.browser().cookies
    page = {
        "client_id": bank.client_id,
        "request_uri": await bank.request_uri(),
        "csrf": (await _csrf(world, bank)),
    }
    for body in ({}, page, page | {"decision": "perhaps"}):
        response = await world.http.post("/oauth/authorize", data=body, headers=headers)
        assert (response.status_code, response.text) == (400, MALFORMED)
    response = await world.http.post("/oauth/authorize", json=page, headers=headers)
    assert (response.status_code, response.text) == (400, MALFORMED)


async def _csrf(world: World, bank: Client) -> str:
    return str((await world.browser().open(bank, await bank.request_uri())).json()["csrf"])


async def test_a_body_suspended_meanwhile_gets_no_consent(
    world: World, log: Log, bank: Client, citizen: Browser
) -> None:
    page = (await citizen.open(bank, await bank.request_uri())).json()
    async with log.writing() as writing:
        await suspend_body(writing, bank.body_id, "under inquiry", OPERATOR)
    for response in (await citizen.open(bank, page["request_uri"]), await citizen.send(page)):
        assert response.status_code == 303
        parameters = answered(response)
        assert parameters["error"] == "unauthorized_client"
        assert (parameters["state"], parameters["iss"]) == ("a state", ISSUER)
    assert (await counts(world))["consent"] == 0


async def test_a_body_struck_off_meanwhile_is_not_sent_anything(
    log: Log, bank: Client, citizen: Browser
) -> None:
    page = (await citizen.open(bank, await bank.request_uri())).json()
    async with log.writing() as writing:
        await strike_off_body(writing, bank.body_id, "sold data", OPERATOR)
    for response in (
        await citizen.open(bank, page["request_uri"]),
        await citizen.send(page),
        await citizen.send(page, decision="refuse"),
    ):
        assert (response.status_code, response.text) == (400, GONE)


async def test_a_consent_that_cannot_be_written_grants_nothing(
    world: World, bank: Client, citizen: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (await citizen.open(bank, await bank.request_uri())).json()
    entries = len(await payloads(world.log))
    with monkeypatch.context() as patched:
        # The notice is the portal's part; a broken one is refused by the register of consents.
        patched.setattr(DataPage, "notice", lambda *_: ShownNotice(Notice("", "", b""), ""))
        response = await citizen.send(page)
    assert (response.status_code, response.text) == (400, UNANSWERABLE)
    assert (await counts(world))["authorization_code"] == 0
    assert len(await payloads(world.log)) == entries
    assert (await citizen.send(page)).status_code == 303


async def test_consents_of_two_people_are_two(bank: Client, world: World) -> None:
    subjects = set()
    for name in ("one", "two", "one"):
        code = await world.browser(name).grant(bank, await bank.request_uri())
        subjects.add(content((await bank.exchange(code)).json()["access_token"])[1]["sub"])
    assert len(subjects) == 2


async def test_no_page_of_another_origin_may_read_what_is_answered(world: World, bank: Client) -> None:
    query = {"client_id": bank.client_id, "request_uri": await bank.request_uri()}
    headers = {
        "Origin": "https://elsewhere.example",
        "Access-Control-Request-Method": "POST",
        "Cookie": "person=citizen",
    }
    for method in ("GET", "POST", "OPTIONS"):
        answer = await world.http.request(method, "/oauth/authorize", params=query, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control-")], method
