"""The two documents and the key set, as clients fetch them."""

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc9207.discovery import AuthorizationServerMetadata as Rfc9207

from tests.consent.oauth.world import AUDIENCE, ISSUER, ISSUER_KEY, World

ALGORITHMS = ["PS256", "ES256", "Ed25519", "EdDSA"]


async def test_the_authorization_server_describes_itself(world: World) -> None:
    response = await world.http.get("/.well-known/oauth-authorization-server")
    document = response.json()
    AuthorizationServerMetadata(document).validate(metadata_classes=[Rfc9207])
    assert document["issuer"] == ISSUER
    assert document["require_pushed_authorization_requests"] is True
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert document["token_endpoint_auth_signing_alg_values_supported"] == ALGORITHMS
    assert document["dpop_signing_alg_values_supported"] == ALGORITHMS
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert "scopes_supported" not in document


async def test_every_endpoint_named_is_there(world: World) -> None:
    document = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    for name in ("token", "pushed_authorization_request", "revocation", "introspection"):
        response = await world.http.post(document[f"{name}_endpoint"])
        assert response.status_code == 400, name
    assert (await world.http.get(document["authorization_endpoint"])).status_code == 400
    assert (await world.http.get(document["jwks_uri"])).status_code == 200


async def test_the_protected_resource_describes_itself(world: World) -> None:
    # RFC 9728 §3.1 puts the path before the resource's; the shorter address serves those who guess.
    for path in ("/.well-known/oauth-protected-resource/v1", "/.well-known/oauth-protected-resource"):
        document = (await world.http.get(path)).json()
        assert document["resource"] == AUDIENCE
        assert document["authorization_servers"] == [ISSUER]
        assert document["dpop_bound_access_tokens_required"] is True


async def test_the_keys_are_public(world: World) -> None:
    (key,) = (await world.http.get("/oauth/jwks")).json()["keys"]
    assert key == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": ISSUER_KEY.as_dict()["x"],
        "kid": ISSUER_KEY.thumbprint(),
        "use": "sig",
        "alg": "Ed25519",
    }


async def test_documents_are_built_from_the_configured_issuer(world: World) -> None:
    response = await world.http.get(
        "/.well-known/oauth-authorization-server", headers={"Host": "attacker.example"}
    )
    assert "attacker" not in response.text
