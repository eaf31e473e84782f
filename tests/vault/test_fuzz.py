"""Whatever is sent to any operation, the answer is one the description names, and never a failure of ours."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.vault.served import Served
from tests.vault.server.portal.conftest import Site
from vault.server.portal.fictitious import fictitious_identity

Credentials = Callable[[], Mapping[str, str]]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LESS = settings(
    max_examples=8, suppress_health_check=list(HealthCheck), deadline=None, database=None, print_blob=False
)
MORE = settings(LESS, max_examples=20)  # of each of some ninety operations: a minute
AUTHORIZATION_SERVER = ("/oauth", "/.well-known")


async def credentials(served: Served) -> dict[str, Credentials]:
    """Good ones for the operations that need any: what follows them is then read."""
    court, furnisher, inspector = await served.court(1), await served.furnisher(), await served.inspector()
    async with Site(served.world.settings.issuer, served.world.vault, served.world.cast).browser() as person:
        await person.sign_in(1)
        csrf = (await person.me())["csrf_token"]
        cookies = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
    inspecting = {
        f"/v1/inspection/{path}": partial(
            inspector.client.credentials, f"/v1/inspection/{path}", inspector.token
        )
        for path in (
            "cases/answer",
            "cases/read",
            "cases/take-up",
            "cases",
            "entries",
            "entry",
            "flags",
            "overdue-covert-cases",
        )
    }
    clerk = served.world.client(served.http, "desk")
    assistance = {
        "type": "assistance",
        "officer": str(served.world.cast["desk"].officer_id),
        "visit": "VISIT-7",
        "document": "passport",
        "subject": {"scheme": "demo-id", "number": fictitious_identity(1)[0]},
    }
    token = await clerk.statutory_token(assistance)
    quality = "/v1/records/quality"
    assisting = {
        f"/v1/desk/{path}": partial(clerk.credentials, f"/v1/desk/{path}", token)
        for path in ("accesses", "records", "consents", "withdraw", "freeze", "not-recognised", "print")
    }
    return {
        **inspecting,
        **assisting,
        "/v1/me": lambda: {"Cookie": cookies, "X-CSRF-Token": csrf},
        "/v1/queries": lambda: court.client.credentials("/v1/queries", court.token),
        quality: lambda: furnisher.client.credentials(
            quality, furnisher.token, furnisher.client.proof("GET", quality, furnisher.token)
        ),
        "/v1/records": lambda: furnisher.client.credentials("/v1/records", furnisher.token),
    }


def attack(
    url: str, how: settings, good: Mapping[str, Credentials], modes: Iterable[GenerationMode] = GenerationMode
) -> list[str]:
    """Sends generated requests to every operation; returns which operations that were."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    attacked: list[str] = []
    with requests.Session() as session:
        session.trust_env = False
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            for mode in modes:
                _attack_operation(operation, mode, how, session, good)
            attacked.append(f"{operation.method.upper()} {operation.path}")
    return attacked


def _attack_operation(
    operation: APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
    how: settings,
    session: requests.Session,
    good: Mapping[str, Credentials],
) -> None:
    # A form endpoint's errors are OAuth's, which its own tests know.
    checks = CHECKS[:1] if operation.path.startswith(AUTHORIZATION_SERVER) else CHECKS
    sent = []

    @how
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Case[Any]) -> None:
        sent.append(case)
        known = [path for path in good if operation.path.startswith(path)]
        headers = dict(good[known[0]]()) if known and len(sent) % 5 else {}
        case.call_and_validate(session=session, headers=headers, checks=checks)

    # What takes nothing cannot be sent anything wrong.
    with suppress(Unsatisfiable):
        send()


async def test_every_operation(served: Served) -> None:
    await served.enrol(1)
    url = served.world.settings.issuer
    attacked = await asyncio.to_thread(attack, url, LESS, await credentials(served))
    assert {"POST /v1/queries", "POST /v1/records", "GET /log/tile/{path}"} <= set(attacked)
    assert served.world.log.running


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", GenerationMode)
async def test_every_operation_for_longer(served: Served, mode: GenerationMode) -> None:
    await served.enrol(1)
    await asyncio.to_thread(attack, served.world.settings.issuer, MORE, await credentials(served), [mode])
    assert served.world.log.running
