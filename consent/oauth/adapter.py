"""Between FastAPI and Authlib: reads the socket, writes the answer, and lets no text of a stranger through.

Authlib's server is synchronous and has no adapter for FastAPI. Here the asynchronous half reads a form into
an `OAuth2Request` whose URI is built from the configured issuer, never from the Host header; Authlib then
runs in `connection.run_sync`; what it answers becomes a response here.

This is the one place that words errors. Authlib embeds what was sent in its descriptions, and raises
ValueError where that holds a quotation mark or a letter outside ASCII. So its descriptions are dropped for
the text of the code; only a `RefusedError`, whose words are written in this package, keeps its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload, OAuth2Request
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from consent.oauth import jose
from consent.oauth.errors import AccessError, RequestFormError, SignatureError

if TYPE_CHECKING:
    from consent.oauth.dpop import Proof
    from consent.oauth.rar import Granted

LONGEST_FORM: Final = 65_536
_MOST_PARAMETERS: Final = 64
_FORM: Final = "application/x-www-form-urlencoded"
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_UNSPEAKABLE: Final = "Error description contains forbidden characters"
_UNAVAILABLE: Final = ("temporarily_unavailable", "server_error")

WORDS: Final[Mapping[str, str]] = {
    "invalid_request": "A parameter is missing, repeated or malformed.",
    "invalid_client": "The client could not be authenticated: check the client assertion.",
    "invalid_grant": "The code is unknown, used, expired, or of another client, key or redirect URI.",
    "unauthorized_client": "This client may not use this grant.",
    "unsupported_grant_type": "Use authorization_code, refresh_token or client_credentials.",
    "unsupported_response_type": "Use response_type=code.",
    "invalid_scope": "Scopes are not used here: say what is needed in authorization_details.",
    "invalid_target": "The resource is not one this server issues tokens for.",
    "invalid_authorization_details": "authorization_details do not fit the schema of their type.",
    "invalid_dpop_proof": "The DPoP proof is missing or fails a check of RFC 9449 section 4.3.",
    "use_dpop_nonce": "Send the proof again with the nonce of the DPoP-Nonce header.",
    "access_denied": "The request was denied.",
    "temporarily_unavailable": "Send the request again in a few seconds.",
    "server_error": "The server failed; nothing was granted.",
}


class RefusedError(OAuth2Error):  # type: ignore[misc]  # Authlib carries no types
    """An OAuth error in our own words.

    Args:
        code: as the RFCs name it; a key of `WORDS`.
        words: what to do about it, in ASCII, without anything that was sent; None for the code's own.
    """

    def __init__(self, code: str, words: str | None = None) -> None:
        super().__init__(description=words or WORDS[code], error=code)


@dataclass(frozen=True, slots=True)
class Form:
    """One request to an endpoint for clients.

    Attributes:
        parameters: each at most once; a parameter without a value counts as absent (RFC 6749 §3.2).
        dpop: every DPoP header.
        host: where the request came from, as far as it is known.
    """

    parameters: Mapping[str, str] = field(repr=False)
    dpop: Sequence[str] = field(repr=False)
    host: str | None = None


@dataclass(slots=True)
class Answer:
    """What an endpoint answers. A redirect has a `location`, all else a JSON body."""

    status: int
    body: Mapping[str, Any] | None = None
    location: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class FormRequest(OAuth2Request):  # type: ignore[misc]  # Authlib carries no types
    """A form as Authlib reads it, with what the asynchronous half has found out already.

    Args:
        uri: of the endpoint, from the configured issuer.
        parameters: of the form.

    Attributes:
        proof: the request's DPoP proof, verified and recorded as used.
        granted: what a token is to carry, when the client asks for itself.
    """

    def __init__(self, uri: str, parameters: Mapping[str, str]) -> None:
        super().__init__("POST", uri, headers={})
        self.payload = BasicOAuth2Payload(dict(parameters))
        self.proof: Proof | None = None
        self.granted: Granted | None = None

    @property
    def form(self) -> dict[str, str]:
        """Where the token endpoint's parts of Authlib look."""
        form: dict[str, str] = self.payload.data
        return form

    @cached_property
    def assertion(self) -> jose.Unverified:
        """The client's assertion, taken apart once.

        Raises:
            SignatureError: there is none, or it is no compact JWS.
        """
        return jose.take_apart(self.form.get("client_assertion", ""))

    @cached_property
    def asserted(self) -> dict[str, Any]:
        """What the assertion says; nothing in it may be believed before it is verified.

        Raises:
            SignatureError: there is no assertion, or its payload is no JSON object.
        """
        return jose.read_claims(self.assertion)

    @property
    def asserted_client(self) -> object:
        """Who the assertion says to be from, of which nothing may be believed; None if it says nothing."""
        try:
            return self.asserted.get("sub")
        except SignatureError:
            return None


async def read_form(request: Request) -> Form:
    """Reads a POST of a client.

    Raises:
        RequestFormError: parameters in the URL, twice, or not as a form of acceptable size.
    """
    # From the scope: starlette builds `request.url` with the Host header, and a Host may hold a `#`.
    if request.scope["query_string"]:
        raise RequestFormError("Send parameters in the body, never in the URL.")
    if "authorization" in request.headers:
        raise RequestFormError("Authenticate with client_assertion alone, without an Authorization header.")
    pairs = await _read_pairs(request)
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise RequestFormError("Send each parameter once.")
    host = None if request.client is None else request.client.host
    return Form(parameters, request.headers.getlist("dpop"), host)


async def read_answers(request: Request) -> dict[str, list[str]]:
    """Reads what a person sent from a page: names with all their values.

    Raises:
        RequestFormError: not a form of acceptable size.
    """
    answers: dict[str, list[str]] = {}
    for name, value in await _read_pairs(request):
        answers.setdefault(name, []).append(value)
    return answers


def read_query(request: Request) -> dict[str, str]:
    """The parameters of a request's URL, each at most once.

    Raises:
        RequestFormError: one stands twice, or the query is malformed.
    """
    pairs = _pairs(request.scope["query_string"])
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise RequestFormError("Send each parameter once.")
    return parameters


def answer_error(error: OAuth2Error, issuer: str) -> Answer:
    """An OAuth error in safe words: to the client's redirect URI where Authlib has verified it, else as JSON.

    Always 400, for `invalid_client` too: with 401 Authlib would challenge for Basic, which we do not speak,
    and some clients then hide the error's code.
    """
    code = error.error if error.error in WORDS else "invalid_request"
    words = str(error.description) if isinstance(error, RefusedError) else WORDS[code]
    body = {"error": code, "error_description": words}
    if error.redirect_uri is None:
        return Answer(503 if code in _UNAVAILABLE else 400, body)
    return redirect(error.redirect_uri, {**body, "state": error.state}, issuer)


@contextmanager
def safe_words() -> Iterator[None]:
    """Turns the ValueError of an Authlib error that cannot hold what was sent into a well-worded one."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(_UNSPEAKABLE):
            raise
        raise RefusedError("invalid_request") from None


def answer_too_many(seconds: int) -> Answer:
    """Too many failed authentications (RFC 6585 §4)."""
    words = "Too many authentications failed: wait for Retry-After, then check key, kid, aud and clock."
    body = {"error": "invalid_client", "error_description": words}
    return Answer(429, body, headers={"Retry-After": str(seconds)})


def answer_form_error(error: RequestFormError) -> Answer:
    """A request that is no form at all."""
    return Answer(400, {"error": "invalid_request", "error_description": str(error)})


def answer_proof_error(error: AccessError, headers: dict[str, str]) -> Answer:
    """A DPoP proof that does not do (RFC 9449 §5)."""
    code = error.code or "invalid_dpop_proof"
    return Answer(400, {"error": code, "error_description": str(error)}, headers=headers)


def redirect(uri: str, parameters: Mapping[str, str | None], issuer: str) -> Answer:
    """Sends the person back to the client, always with `iss` (RFC 9207 §2), always 303 (RFC 9700 §4.12)."""
    given = [(name, value) for name, value in {**parameters, "iss": issuer}.items() if value is not None]
    return Answer(303, location=add_params_to_uri(uri, given))


def to_response(answer: Answer) -> Response:
    """The answer as FastAPI sends it; never to be stored by a cache (RFC 6749 §5.1)."""
    headers = _NO_STORE | answer.headers
    if answer.location is not None:
        return RedirectResponse(answer.location, answer.status, headers | {"Referrer-Policy": "no-referrer"})
    return JSONResponse(answer.body, answer.status, headers)


async def _read_pairs(request: Request) -> list[tuple[str, str]]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise RequestFormError(f"Send the parameters as {_FORM}.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            raise RequestFormError("Send fewer bytes.")
    return _pairs(bytes(body))


def _pairs(encoded: bytes) -> list[tuple[str, str]]:
    if not encoded:
        return []
    try:
        pairs = parse_qsl(
            encoded.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError as error:
        raise RequestFormError("The parameters are not well formed.") from error
    # PostgreSQL cannot hold a NUL, and nobody has a use for one.
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise RequestFormError("The parameters are not well formed.")
    return [(name, value) for name, value in pairs if value]
