"""The whole flow over a real socket, by Authlib's own client."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import uvicorn
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from fastapi import FastAPI
from httpx import AsyncClient

from access_log.log import Log
from tests.consent.oauth.world import (
    CALLBACK,
    EC_KEY,
    VERIFIER,
    Browser,
    Client,
    build,
    consented,
    content,
    encoded,
    proof,
    sign,
    statutory,
)
from tests.consent.registers import KEY, Registered

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class SignedByIssuer(PrivateKeyJWT):  # type: ignore[misc]  # Authlib carries no types
    """Authlib's method with the issuer as audience, and an end that is near.

    Left alone it names the token endpoint, lives an hour, and keeps one jti for all that it is given claims.
    """

    def sign(self, auth: Any, token_endpoint: str) -> str:
        self.claims = {"exp": int(time.time()) + 60, "jti": str(uuid4())}
        return str(super().sign(auth, token_endpoint))


class Announced(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def serving(app: FastAPI, bound: socket.socket) -> AsyncIterator[None]:
    server = Announced(uvicorn.Config(app, log_level="error", lifespan="off"))
    running = asyncio.create_task(server.serve([bound]))
    await server.ready.wait()
    try:
        yield
    finally:
        server.should_exit = True
        await running


async def test_authlibs_own_client(log: Log, registered: Registered) -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    issuer = f"http://127.0.0.1:{bound.getsockname()[1]}"
    world = build(log, issuer=issuer)
    async with serving(world.app, bound), AsyncClient(base_url=issuer) as http:
        metadata = (await http.get("/.well-known/oauth-authorization-server")).json()
        authenticate = SignedByIssuer(metadata["issuer"], headers={"kid": "one"}, alg="Ed25519")
        with OAuth2Session(
            str(registered.bank),
            KEY,
            token_endpoint_auth_method=authenticate.name,
            revocation_endpoint_auth_method=authenticate.name,
            redirect_uri=CALLBACK,
            code_challenge_method="S256",
        ) as session:
            session.register_client_auth_method(authenticate)
            # RFC 9126: what Authlib would put into the browser's address is pushed instead.
            address, state = session.create_authorization_url(
                metadata["authorization_endpoint"],
                code_verifier=VERIFIER,
                authorization_details=json.dumps([consented()]),
                dpop_jkt=EC_KEY.thumbprint(),
            )
            pushed = await asyncio.to_thread(
                session.post,
                metadata["pushed_authorization_request_endpoint"],
                data=dict(parse_qsl(urlsplit(address).query)),
                auth=session.client_auth(authenticate.name),
                withhold_token=True,
            )
            assert pushed.status_code == 201, pushed.text
            browser, client = Browser(http), Client(http, registered.bank)
            page = await browser.open(client, pushed.json()["request_uri"])
            answer = await browser.send(page.json())
            endpoint = metadata["token_endpoint"]
            token = await asyncio.to_thread(
                session.fetch_token,
                endpoint,
                authorization_response=answer.headers["location"],
                state=state,
                code_verifier=VERIFIER,
                headers=FORM | {"DPoP": proof(EC_KEY, "", htu=endpoint)},
            )
            assert content(token["access_token"])[1]["iss"] == issuer
            text = token["access_token"]
            dpop = proof(EC_KEY, "", htu=f"{issuer}/v1/queries", token=text)
            used = await http.post("/v1/queries", headers={"Authorization": f"DPoP {text}", "DPoP": dpop})
            assert used.status_code == 200
            bearer = await http.post("/v1/queries", headers={"Authorization": f"Bearer {text}"})
            assert bearer.status_code == 401
            assert bearer.headers["www-authenticate"].startswith("DPoP algs=")
            for work, expected in ((session.introspect_token, {"active": True}), (session.revoke_token, {})):
                done = await asyncio.to_thread(
                    work,
                    metadata[f"{'introspection' if expected else 'revocation'}_endpoint"],
                    token=text,
                    auth=session.client_auth(authenticate.name),
                )
                assert done.status_code == 200
                assert expected.items() <= done.json().items()


async def test_the_host_header_is_never_believed(log: Log, registered: Registered) -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    issuer = f"http://127.0.0.1:{bound.getsockname()[1]}"
    world = build(log, issuer=issuer)
    async with serving(world.app, bound), AsyncClient(base_url=issuer) as http:
        client = Client(http, registered.court)
        form = client.authenticated(client.assertion(aud=issuer), grant_type="client_credentials")
        for htu, host in (
            ("http://attacker.example/oauth/token", "attacker.example"),
            (f"{issuer}/oauth/token", "attacker.example"),
        ):
            headers = {"Host": host, "DPoP": proof(EC_KEY, "", htu=htu)}
            response = await http.post("/oauth/token", data=form, headers=headers)
            expected = "invalid_dpop_proof" if "attacker" in htu else "invalid_authorization_details"
            assert response.json()["error"] == expected
            assert "attacker" not in response.text


async def test_a_host_that_ends_the_url_early_does_not_change_the_path(
    log: Log, registered: Registered
) -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    issuer = f"http://127.0.0.1:{bound.getsockname()[1]}"
    world = build(log, issuer=issuer)
    async with serving(world.app, bound), AsyncClient(base_url=issuer) as http:
        client = Client(http, registered.court)
        details = json.dumps([statutory(registered.authorization, registered.judge)])
        form = client.authenticated(
            client.assertion(aud=issuer), grant_type="client_credentials", authorization_details=details
        )
        headers = {"DPoP": proof(EC_KEY, "", htu=f"{issuer}/oauth/token")}
        token = (await http.post("/oauth/token", data=form, headers=headers)).json()["access_token"]
        for host, htu, status in (
            ("x?", issuer, 401),
            ("x?", f"{issuer}/", 401),
            ("x?", f"{issuer}/v1/queries", 200),
        ):
            headers = {"Host": host, "Authorization": f"DPoP {token}"}
            headers["DPoP"] = proof(EC_KEY, "", htu=htu, token=token)
            assert (await http.post("/v1/queries", headers=headers)).status_code == status


async def test_what_no_client_library_would_send(log: Log) -> None:
    """Bytes on the wire: headers twice, giant ones, no length; the server answers and goes on."""
    bound = socket.create_server(("127.0.0.1", 0))
    issuer = f"http://127.0.0.1:{bound.getsockname()[1]}"
    world = build(log, issuer=issuer)
    good = sign(EC_KEY, {}, {})
    async with serving(world.app, bound):
        for head, statuses in (
            (f"POST /v1/queries HTTP/1.1\r\nAuthorization: DPoP {good}\r\nAuthorization: DPoP {good}", {401}),
            (
                f"POST /v1/queries HTTP/1.1\r\nDPoP: {good}\r\nDPoP: {good}\r\nAuthorization: DPoP {good}",
                {401},
            ),
            ("POST /v1/queries HTTP/1.1\r\nAuthorization: DPoP \xe9\xe9", {401}),
            (f"POST /v1/queries HTTP/1.1\r\nAuthorization: DPoP {'x' * 60_000}", {400, 401, 431}),
            (f"POST /oauth/token HTTP/1.1\r\nDPoP: {encoded(b'{}')}", {400}),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", bound.getsockname()[1])
            request = f"{head}\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            writer.write(request.encode("latin-1"))
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert int(answer.split(b" ", 2)[1]) in statuses
