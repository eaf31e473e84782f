"""Errors of the authorization server and of the resource side. None knows HTTP; `api.py` translates them.

Their text is fixed: it never repeats what was sent.
"""

from consent.errors import ConsentError


class ConfigurationError(ConsentError):
    """The server cannot be built from what it was given; the message says what to mend."""


class KeyPolicyError(ConsentError):
    """A key or key set does not meet the profile (FAPI 2.0 §5.4)."""


class ForbiddenAddressError(ConsentError):
    """A host that may not be spoken to."""


class KeysNotFetchedError(ConsentError):
    """The keys a body publishes cannot be had; the message says why, of the `jwks_uri`."""


class SignatureError(ConsentError):
    """A signed object is malformed, or its signature does not verify."""


class RequestFormError(ConsentError):
    """The request is not one well-formed set of parameters (RFC 6749 §3.1, §3.2)."""


class DetailsError(ConsentError):
    """`authorization_details` do not fit their schema (RFC 9396 §5)."""


class SubjectError(ConsentError):
    """The identifier of a person is not well formed. Raised alike whether the person is known or not."""


class ConsentRefusedError(ConsentError):
    """The consent cannot be given as asked; nothing was written."""


class AccessError(ConsentError):
    """A request to a protected resource without valid token and proof (RFC 9449 §7.1).

    Attributes:
        code: the error code for `WWW-Authenticate`; None when the request held no credentials at all.
    """

    code: str | None = None


class CredentialsMissingError(AccessError):
    """No access token was presented, or under another scheme than `DPoP`."""


class CredentialsMalformedError(AccessError):
    """A header stands twice, or is not of the form its scheme asks for."""

    code = "invalid_request"


class TokenInvalidError(AccessError):
    """The access token is malformed, expired, of another issuer or not for this resource."""

    code = "invalid_token"


class ProofInvalidError(AccessError):
    """The DPoP proof is missing, fails a check of RFC 9449 §4.3, or was seen before."""

    code = "invalid_dpop_proof"


class NonceRequiredError(AccessError):
    """The proof must carry the nonce given here (RFC 9449 §8, §9).

    Attributes:
        nonce: the value for the `DPoP-Nonce` header.
    """

    code = "use_dpop_nonce"

    def __init__(self, nonce: str) -> None:
        super().__init__("The proof must carry the nonce of the DPoP-Nonce header.")
        self.nonce = nonce
