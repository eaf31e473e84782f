"""The web application: every room's routes behind one boundary."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text

from access_log.api import log_router
from access_log.closed.api import succession_router
from access_log.closed.log import closed_path
from access_log.roots.api import roots_router
from access_log.witnessed.api import witnessed_router
from consent.api import copies_router, register_router
from consent.oauth.api import oauth_router
from consent.oauth.jwks_uri import PublishedKeys
from vault.api import covert_router, query_router
from vault.furnishing.api import catalogue_router, records_router
from vault.furnishing.published import PublishedCatalogue
from vault.inspection.api import inspection_router
from vault.problems import add_problem_handlers, unavailable
from vault.records.copy_keys import CopyKeys
from vault.records.hashing import IdentifierHasher
from vault.registers.api import registers_router
from vault.server.assembly import Vault
from vault.server.description import describe
from vault.server.desk.api import desk_router
from vault.server.metrics import expiry_metrics, furnishing_metrics, witness_metrics, worker_metrics
from vault.server.middleware import RequestBoundary
from vault.server.portal.router import open_portal
from vault.server.recovery import Recovery
from vault.server.settings import shared_counts

_DESCRIPTION = """
A privacy-first personal credit vault. Every query presents a token bound to one person, one purpose, a set of
fields and the caller's own key; it is in a public, verifiable log before a single field is opened.
"""


def build_app(vault: Vault) -> FastAPI:
    """The application over an open vault."""
    settings = vault.settings
    app = FastAPI(
        title="Credit vault",
        version="1",
        description=_DESCRIPTION,
        # The interactive pages would load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        openapi_tags=[
            {"name": "queries", "description": "Authorized bodies ask."},
            {"name": "records", "description": "Furnishers hand in records."},
            {"name": "inspection", "description": "Inspectors read the log; each use is logged."},
            {"name": "desk", "description": "A clerk helps a person; each use stands in their log."},
            {"name": "register", "description": "The public register of bodies."},
            {"name": "registers", "description": "Registrars hand in what they signed."},
            {"name": "me", "description": "A signed-in person's own view."},
            {"name": "log", "description": "The access log, for anyone (C2SP tlog-tiles)."},
            {"name": "OAuth", "description": "Authorization server (FAPI 2.0)."},
            {"name": "operation", "description": "Health and metrics."},
        ],
    )
    add_problem_handlers(app, vault.protection)
    app.include_router(query_router(vault.disclosure, vault.protection, vault.schemes))
    app.include_router(records_router(vault.log, vault.intake, vault.protection))
    published = PublishedCatalogue(vault.catalogue, vault.schemes, settings.issuer)
    app.include_router(catalogue_router(published))
    app.include_router(inspection_router(vault.log, vault.protection))
    app.include_router(desk_router(vault))
    portal = open_portal(vault)
    app.include_router(
        oauth_router(
            vault.profile,
            vault.engine,
            vault.log,
            catalogue=vault.catalogue,
            hasher=IdentifierHasher(vault.keys, vault.schemes),
            citizens=portal.citizens,
            page=portal.page,
            keeper=vault.keeper,
            published=PublishedKeys(loopback=vault.profile.is_loopback),
        )
    )
    for router in portal.routers:
        app.include_router(router)
    app.include_router(register_router(vault.engine))
    app.include_router(registers_router(vault.log, vault.profile.issuer, vault.nameable, vault.names))
    app.include_router(copies_router(CopyKeys(vault.keys.announced).published))
    app.include_router(covert_router(vault.engine))
    app.include_router(succession_router(vault.log, [each.log for each in vault.closed]))
    app.include_router(log_router(vault.log))
    policy = None if vault.witnessing is None else vault.witnessing.policy
    app.include_router(witnessed_router(vault.log, policy))
    app.include_router(roots_router(vault.roots))
    for each in vault.closed:
        prefix = closed_path(each.log.origin)
        for router in (
            log_router(each.log, prefix),
            witnessed_router(each.log, policy, prefix),
            roots_router(each.roots, prefix),
        ):
            # The same routes once more: `/log/closed` says where.
            app.include_router(router, include_in_schema=False)
    _add_operation(app, vault)
    describe(app)
    app.add_middleware(
        RequestBoundary,
        max_body=settings.max_body,
        max_batch_body=settings.max_batch_body,
        batch_paths=["/v1/records"],
    )
    return app


def _add_operation(app: FastAPI, vault: Vault) -> None:
    recovery = Recovery(vault.log)

    @app.get("/healthz", tags=["operation"], response_class=PlainTextResponse, summary="The process lives")
    async def healthz() -> str:
        """Says nothing of database or keys."""
        return "ok\n"

    @app.get(
        "/readyz",
        tags=["operation"],
        response_class=PlainTextResponse,
        responses={503: {"description": "They cannot, for now", "content": {"application/problem+json": {}}}},
        summary="Queries can be served now",
    )
    async def readyz(_request: Request) -> Response:
        """Database, keys and log answer; a log that was halted is started again."""
        await vault.keys.provider.health()
        async with vault.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        return PlainTextResponse("ready\n") if await recovery.running() else unavailable()

    @app.get(
        "/metrics",
        tags=["operation"],
        response_class=PlainTextResponse,
        summary="Prometheus metrics of all workers",
    )
    async def metrics() -> Response:
        """Counts and times by route, how the witnesses stand, what was handed in; nothing about persons."""
        content = worker_metrics(shared_counts()) + await witness_metrics(vault.engine, vault.log.number)
        content += await expiry_metrics(vault.engine, vault.catalogue)
        content += await furnishing_metrics(vault.engine)
        return Response(content, media_type=CONTENT_TYPE_LATEST)
