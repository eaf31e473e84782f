"""The authorization server under load, and what the permission of one query costs."""

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
import psutil

from bench import load
from bench.stage import Stage, creditvault, opened, server_environment, serving
from consent.decide import decide
from consent.facts import AuthorizationFacts, BodyFacts, OfficerFacts, State
from consent.oauth import rar
from consent.oauth.profile import Profile
from consent.oauth.tokens import IssuerKeys
from consent.permit import Permit, QueryRequest
from demo.cast import COURT_CASE, Cast, gather
from demo.client import BodyClient, new_key
from vault.catalogue import load_catalogue

CONCURRENCY = 32
_CHUNK = 500
_FORM = "application/x-www-form-urlencoded"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FIELDS = ("FIN.type", "FIN.amount_class", "FIN.status")
_PURPOSE = "court-enforcement"


@dataclass(frozen=True)
class Endpoint:
    """One endpoint under load.

    Attributes:
        load: what clients saw.
        cpu: processor time of the worker for each request, in ms.
    """

    load: load.Load
    cpu: float


@dataclass(frozen=True)
class AuthorizationFigures:
    """What came out; `permission` in ms of processor time."""

    token: Endpoint
    introspection: Endpoint
    permission: float


def measure(at: Stage, tokens: int) -> AuthorizationFigures:
    """Loads both endpoints of one worker, with a fresh assertion and proof each time."""
    cast = asyncio.run(_cast(at))
    issuer = at.settings.issuer
    with serving(creditvault("serve"), server_environment(at), f"{issuer}/healthz") as server:
        token, introspection = asyncio.run(_endpoints(at, cast, tokens, server.pid))
    return AuthorizationFigures(token, introspection, _permission(issuer, tokens))


async def _cast(at: Stage) -> Cast:
    async with opened(at) as vault:
        return await gather(vault.log, at.settings.home / "cast.json")


async def _endpoints(at: Stage, cast: Cast, tokens: int, pid: int) -> tuple[Endpoint, Endpoint]:
    issuer, court = at.settings.issuer, cast["court"]
    details = {
        "type": "statutory_query",
        "authorization": str(cast.authorization),
        "purpose": _PURPOSE,
        "case_reference": COURT_CASE,
        "officer": str(court.officer_id),
        "subject": {"scheme": "demo-id", "number": "999999190001010015"},
        "fields": list(_FIELDS),
        "actions": ["read"],
    }
    async with httpx.AsyncClient(base_url=issuer) as http:
        client = BodyClient(http, issuer, court.body_id, court.key)
        known = await client.statutory_token(details)
        own = {"grant_type": "client_credentials", "authorization_details": json.dumps([details])}
        return (
            await _load(client, issuer, "/oauth/token", own, count=tokens, pid=pid),
            await _load(client, issuer, "/oauth/introspect", {"token": known}, count=tokens, pid=pid),
        )


async def _load(
    client: BodyClient, issuer: str, path: str, form: dict[str, str], *, count: int, pid: int
) -> Endpoint:
    """Signs in portions, since assertions and proofs live a minute; only what is sent is timed."""
    host, port = issuer.removeprefix("http://"), int(issuer.rpartition(":")[2])
    runs, before = [], _cpu(pid)
    for _ in range(0, count, _CHUNK):
        prepared = []
        for _ in range(_CHUNK):
            signed = form | {"client_assertion_type": _ASSERTION, "client_assertion": client.assertion()}
            headers = {"DPoP": client.proof("POST", path)}
            prepared.append(load.post(host, path, headers, urlencode(signed).encode(), _FORM))
        runs.append(await load.run("127.0.0.1", port, prepared, CONCURRENCY))
    sent = len(runs) * _CHUNK
    whole = load.Load(
        rate=len(runs) / sum(1 / run.rate for run in runs),
        p50=sorted(run.p50 for run in runs)[len(runs) // 2],
        p99=max(run.p99 for run in runs),
        failed=sum(run.failed for run in runs),
    )
    return Endpoint(whole, (_cpu(pid) - before) / sent * 1000)


def _cpu(pid: int) -> float:
    """Seconds of processor time a process has used."""
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def _permission(issuer: str, count: int) -> float:
    """Token known from before, proof fresh, decision: what stands between a request and the log."""
    body, officer, authorization = uuid4(), uuid4(), uuid4()
    profile = Profile(issuer, IssuerKeys.from_seeds([bytes(32)]))
    protection, catalogue, now = profile.protection(), load_catalogue("cn"), datetime.now(UTC)
    client = BodyClient(httpx.AsyncClient(), issuer, body, new_key())
    details = rar.StatutoryQuery(
        authorization=authorization,
        purpose=_PURPOSE,
        case_reference=COURT_CASE,
        officer=officer,
        subject_hash="ab" * 32,
        fields=_FIELDS,
        actions=("read",),
    )
    jkt = client._proof_key.thumbprint()  # noqa: SLF001 -- the token is issued here, without a server
    token = profile.token_issuer().issue(
        body_id=body, subject_id=None, grant_id=authorization, details=details, jkt=jkt, now=now
    )
    state = _state(body, now)
    presented = [(["DPoP " + token], [client.proof("POST", "/v1/queries", token)]) for _ in range(count)]
    protection.verify(*presented[0], "POST", "/v1/queries")
    started = time.process_time()
    for authorized, proof in presented:
        grant = protection.verify(authorized, proof, "POST", "/v1/queries").token_grant()
        assert grant is not None
        request = QueryRequest(
            body, officer, _PURPOSE, _FIELDS, COURT_CASE, bytes.fromhex("ab" * 32), None, grant
        )
        assert isinstance(decide(request, state, now, catalogue=catalogue), Permit)
    return (time.process_time() - started) / count * 1000


def _state(body: UUID, now: datetime) -> State:
    """Live state that permits the query."""
    return State(
        today=now.date(),
        body=BodyFacts("court", "active", frozenset({_PURPOSE}), frozenset({"ask"})),
        officer=OfficerFacts(body, "active", "enforcement judge"),
        authorization=AuthorizationFacts(
            body_id=body,
            state="approved",
            purposes=frozenset({_PURPOSE}),
            fields=frozenset(_FIELDS),
            basis_purposes=frozenset({_PURPOSE}),
            basis_categories=frozenset({"FIN"}),
            scope="any",
            names_subject=False,
            case_pattern=None,
            per_day=10,
            per_case=None,
            valid_from=now - timedelta(days=1),
            valid_until=now + timedelta(days=1),
            basis_from=now.date() - timedelta(days=1),
            basis_until=None,
        ),
    )
