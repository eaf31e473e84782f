"""What clients may know before they speak to us: RFC 8414 and RFC 9728."""

from typing import Any

from consent.oauth import jose, rar
from consent.oauth.profile import (
    AUTHORIZE_PATH,
    INTROSPECT_PATH,
    JWKS_PATH,
    PAR_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    Profile,
)

AUTHENTICATION = "private_key_jwt"
GRANT_TYPES = ("authorization_code", "client_credentials", "refresh_token")


def server_metadata(profile: Profile) -> dict[str, Any]:
    """The authorization server's document (RFC 8414 §2, and the registrations of the RFCs in the profile)."""
    methods, algorithms = [AUTHENTICATION], list(jose.ALGORITHMS)
    return {
        "issuer": profile.issuer,
        "authorization_endpoint": profile.url(AUTHORIZE_PATH),
        "token_endpoint": profile.url(TOKEN_PATH),
        "jwks_uri": profile.url(JWKS_PATH),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint": profile.url(REVOKE_PATH),
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint": profile.url(INTROSPECT_PATH),
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "code_challenge_methods_supported": ["S256"],
        # RFC 9126 §5
        "pushed_authorization_request_endpoint": profile.url(PAR_PATH),
        "require_pushed_authorization_requests": True,
        # RFC 9207 §3
        "authorization_response_iss_parameter_supported": True,
        # RFC 9396 §10
        "authorization_details_types_supported": list(rar.TYPES),
        # RFC 9449 §5.1
        "dpop_signing_alg_values_supported": algorithms,
        # RFC 9728 §4
        "protected_resources": [profile.audience],
    }


def resource_metadata(profile: Profile) -> dict[str, Any]:
    """The protected resource's document (RFC 9728 §2)."""
    return {
        "resource": profile.audience,
        "authorization_servers": [profile.issuer],
        # The header alone; `bearer_methods_supported` is the registered name also for DPoP tokens.
        "bearer_methods_supported": ["header"],
        "authorization_details_types_supported": list(rar.TYPES),
        "dpop_signing_alg_values_supported": list(jose.ALGORITHMS),
        "dpop_bound_access_tokens_required": True,
    }
