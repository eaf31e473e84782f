"""The door of a protected resource: tokens, proofs, headers, and the memory of tokens."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from joserfc.jwk import ECKey, OKPKey

from consent.oauth import rar
from consent.oauth.dpop import NonceKey, Nonces
from consent.oauth.errors import (
    AccessError,
    ConfigurationError,
    CredentialsMalformedError,
    CredentialsMissingError,
    NonceRequiredError,
    ProofInvalidError,
    TokenInvalidError,
)
from consent.oauth.profile import Profile
from consent.oauth.protection import Presented, Protection
from consent.oauth.tokens import LONGEST_LIFE, IssuerKeys, TokenIssuer
from consent.permit import Flow, Route
from tests.consent.oauth.world import (
    AUDIENCE,
    EC_KEY,
    ISSUER,
    ISSUER_KEY,
    ISSUER_KEYS,
    RSA_KEY,
    Client,
    Clock,
    Key,
    World,
    content,
    proof,
    sign,
)

PATH = "/v1/queries"
BODY, SUBJECT, CONSENT = uuid4(), uuid4(), uuid4()
STATUTORY = rar.StatutoryQuery(
    authorization=uuid4(),
    purpose="court-enforcement",
    case_reference="case",
    officer=uuid4(),
    subject_hash="ab" * 32,
    fields=("FIN.type",),
    actions=("read",),
)
CONSENTED = rar.ConsentedQuery(
    purpose="credit-granting", fields=("FIN.type", "FIN.status"), mode="view", validity=30, max_uses=1
)


def issue(
    details: rar.Granted = STATUTORY,
    *,
    keys: IssuerKeys = ISSUER_KEYS,
    key: Key = EC_KEY,
    issuer: str = ISSUER,
    audience: str = AUDIENCE,
    ago: float = 0,
) -> str:
    consented = isinstance(details, rar.ConsentedQuery)
    return TokenIssuer(issuer, audience, keys).issue(
        body_id=BODY,
        subject_id=SUBJECT if consented else None,
        grant_id=CONSENT if consented else getattr(details, "authorization", None),
        details=details,
        jkt=key.thumbprint(),
        now=datetime.fromtimestamp(time.time() - ago, UTC),
    )


def forged(
    details: rar.Granted = STATUTORY,
    header: dict[str, Any] | None = None,
    key: Key = ISSUER_KEY,
    **claims: Any,
) -> str:
    """A token with other claims; None removes one."""
    good_header, good = content(issue(details))
    changed = {name: value for name, value in (good | claims).items() if value is not None}
    merged = {name: value for name, value in (good_header | (header or {})).items() if value is not None}
    return sign(key, merged, changed, merged["alg"])


def protection(**changes: Any) -> Protection:
    return Protection(ISSUER, AUDIENCE, ISSUER_KEYS.public, **changes)


def verify(token: str, door: Protection | None = None, *, key: Key = EC_KEY, **of_proof: Any) -> Presented:
    headers = [f"DPoP {token}"]
    return (door or protection()).verify(headers, [proof(key, PATH, token=token, **of_proof)], "POST", PATH)


def test_a_statutory_token_says_who_and_what_for() -> None:
    presented = verify(issue())
    assert (presented.body_id, presented.client_id) == (BODY, str(BODY))
    assert presented.sub == f"body:{BODY}"
    assert presented.subject_id is None
    assert presented.details == STATUTORY
    assert presented.grant_id == STATUTORY.authorization
    assert presented.jkt == EC_KEY.thumbprint()
    assert isinstance(presented.token_jti, UUID)
    assert 0 < presented.token_expires_at.timestamp() - time.time() <= LONGEST_LIFE
    assert presented.proof_expires_at.timestamp() > time.time() + 60
    grant = presented.token_grant()
    assert grant is not None
    assert (grant.route, grant.flow, grant.grant_id) == (
        Route.STATUTORY,
        Flow.CLIENT,
        STATUTORY.authorization,
    )
    assert (grant.subject_hash, grant.officer_id) == (b"\xab" * 32, STATUTORY.officer)
    assert (grant.case_reference, set(grant.fields)) == ("case", {"FIN.type"})


def test_a_consented_token_says_whose_consent() -> None:
    presented = verify(issue(CONSENTED))
    assert presented.sub == f"subject:{SUBJECT}"
    assert (presented.subject_id, presented.grant_id) == (SUBJECT, CONSENT)
    grant = presented.token_grant()
    assert grant is not None
    assert (grant.route, grant.flow, grant.grant_id) == (Route.CONSENTED, Flow.CODE, CONSENT)
    assert (grant.subject_id, grant.officer_id, grant.subject_hash) == (SUBJECT, None, None)


@pytest.mark.parametrize(
    "details",
    [rar.RecordSubmission(categories=("FIN",)), rar.Inspection(officer=UUID(int=7), case_reference="7")],
)
def test_a_token_for_no_query_has_no_query_grant(details: rar.Granted) -> None:
    presented = verify(issue(details))
    assert presented.details == details
    assert presented.grant_id is None
    assert presented.token_grant() is None


@pytest.mark.parametrize("key", [RSA_KEY, ECKey.generate_key("P-256")])
def test_any_key_of_the_profile_may_sign(key: Key) -> None:
    keys = IssuerKeys([key, ISSUER_KEY])
    door = Protection(ISSUER, AUDIENCE, keys.public)
    # The old key still verifies while the new one signs.
    assert verify(issue(keys=keys), door)
    assert verify(issue(), door)
    assert [entry["kid"] for entry in keys.jwks()["keys"]] == [key.thumbprint(), ISSUER_KEY.thumbprint()]
    assert all("d" not in entry for entry in keys.jwks()["keys"])


def test_keys_that_cannot_sign_are_refused() -> None:
    for keys in (
        [],
        [OKPKey.import_key(ISSUER_KEY.as_dict(private=False))],
        [ECKey.generate_key("P-384")],
    ):
        with pytest.raises(ConfigurationError):
            IssuerKeys(keys)


@pytest.mark.parametrize(
    "issuer", ["http://vault.example", "https://vault.example/", "https://vault.example/x", "ftp://a", ""]
)
def test_an_issuer_is_https_without_a_path(issuer: str) -> None:
    with pytest.raises(ConfigurationError):
        Profile(issuer, ISSUER_KEYS)


def test_http_is_for_loopback() -> None:
    assert Profile("http://127.0.0.1:8440", ISSUER_KEYS).audience == "http://127.0.0.1:8440/v1"


@pytest.mark.parametrize(
    "make",
    [
        lambda: "",
        lambda: "abc",
        lambda: "a.b.c",
        lambda: issue(keys=IssuerKeys.from_seeds([b"x" * 32])),
        lambda: issue(issuer="https://other.example"),
        lambda: issue(audience=ISSUER),
        lambda: issue(ago=LONGEST_LIFE + 1),
        lambda: forged(header={"typ": None}),
        lambda: forged(header={"typ": "JWT"}),
        lambda: forged(header={"typ": "dpop+jwt"}),
        lambda: forged(header={"kid": None}),
        lambda: forged(header={"kid": "other"}),
        lambda: forged(header={"alg": "RS256"}, key=RSA_KEY),
        lambda: forged(header={"alg": "PS256"}, key=RSA_KEY),
        lambda: forged(aud=[AUDIENCE]),
        lambda: forged(aud=[AUDIENCE, "https://other.example"]),
        lambda: forged(aud=None),
        lambda: forged(iss=None),
        lambda: forged(exp=None),
        lambda: forged(exp=time.time() + LONGEST_LIFE + 100),
        lambda: forged(iat=time.time() + 100, exp=time.time() + 200),
        lambda: forged(nbf=time.time() + 100),
        lambda: forged(iat=None),
        lambda: forged(jti=None),
        lambda: forged(jti="no uuid"),
        lambda: forged(client_id=None),
        lambda: forged(client_id=str(uuid4())),
        lambda: forged(sub=None),
        lambda: forged(sub=str(BODY)),
        lambda: forged(sub=f"subject:{BODY}"),
        lambda: forged(cnf=None),
        lambda: forged(cnf={}),
        lambda: forged(cnf={"jkt": 7}),
        lambda: forged(cnf="x"),
        lambda: forged(authorization_details=None),
        lambda: forged(authorization_details=[]),
        lambda: forged(authorization=str(uuid4())),
        lambda: forged(CONSENTED, grant=None),
        lambda: forged(CONSENTED, grant="x"),
        lambda: forged(CONSENTED, sub=f"body:{BODY}"),
        lambda: forged(CONSENTED, sub="subject:x"),
    ],
)
def test_other_tokens_are_refused(make: Callable[[], str]) -> None:
    token = make()
    with pytest.raises((TokenInvalidError, CredentialsMalformedError)):
        verify(token)


def test_nan_is_no_end() -> None:
    with pytest.raises(TokenInvalidError):
        verify(forged(exp=float("nan")))


def test_a_token_ends_though_it_is_remembered() -> None:
    clock = Clock()
    door = protection(clock=clock)
    token = issue(ago=LONGEST_LIFE - 30)
    assert verify(token, door)
    clock.ahead = 31
    with pytest.raises(TokenInvalidError):
        verify(token, door, iat=clock())
    with pytest.raises(TokenInvalidError):
        verify(token, door, iat=clock())


def test_a_remembered_token_still_needs_its_own_key() -> None:
    door, token, thief = protection(), issue(), ECKey.generate_key("P-256")
    assert verify(token, door)
    with pytest.raises(ProofInvalidError):
        verify(token, door, key=thief)


def test_a_token_that_was_refused_is_not_remembered() -> None:
    door = protection()
    good = issue()
    header, payload, _ = good.split(".")
    other = issue().split(".")[2]
    assert verify(good, door)
    for _ in range(2):
        with pytest.raises(TokenInvalidError):
            verify(f"{header}.{payload}.{other}", door)


def test_the_memory_of_tokens_is_bounded() -> None:
    door = protection(cached_tokens=3)
    tokens = [issue() for _ in range(5)]
    for token in (*tokens, *reversed(tokens)):
        assert verify(token, door)
    assert len(door._known) == 3


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Bearer {token}"],
        ["bearer {token}"],
        ["Basic {token}"],
        ["{token}"],
        [""],
    ],
)
def test_another_scheme_is_no_credential(headers: list[str]) -> None:
    token = issue()
    filled = [header.format(token=token) for header in headers]
    with pytest.raises(CredentialsMissingError):
        protection().verify(filled, [proof(EC_KEY, PATH, token=token)], "POST", PATH)


@pytest.mark.parametrize(
    "headers",
    [
        ["DPoP {token}", "DPoP {token}"],
        ["DPoP {token}", "Bearer {token}"],
        ["DPoP "],
        ["DPoP"],
        ["DPoP  {token}"],
        ["DPoP {token} x"],
        ["DPoP {token}, DPoP {token}"],
        ["DPoP é"],
        ["DPoP " + "x" * 16_385],
    ],
)
def test_malformed_headers_are_refused(headers: list[str]) -> None:
    token = issue()
    filled = [header.format(token=token) for header in headers]
    with pytest.raises(CredentialsMalformedError):
        protection().verify(filled, [proof(EC_KEY, PATH, token=token)], "POST", PATH)


def test_the_scheme_has_no_letter_case() -> None:
    token = issue()
    assert protection().verify([f"dpop {token}"], [proof(EC_KEY, PATH, token=token)], "POST", PATH)


def test_a_token_without_proof_is_refused() -> None:
    with pytest.raises(ProofInvalidError):
        protection().verify([f"DPoP {issue()}"], [], "POST", PATH)


def test_the_challenge_says_what_to_do() -> None:
    door = protection(resource_metadata=ISSUER + "/.well-known/oauth-protected-resource/v1")
    algorithms = 'algs="PS256 ES256 Ed25519 EdDSA"'
    document = f'resource_metadata="{ISSUER}/.well-known/oauth-protected-resource/v1"'
    missing = door.challenge(CredentialsMissingError("text"))
    # RFC 6750 §3.1: without credentials, no error code.
    assert missing == {"WWW-Authenticate": f"DPoP {algorithms}, {document}"}
    invalid = door.challenge(TokenInvalidError("text"))
    assert invalid["WWW-Authenticate"].startswith("DPoP ")
    assert 'error="invalid_token", error_description="text"' in invalid["WWW-Authenticate"]
    assert 'error="invalid_dpop_proof"' in door.challenge(ProofInvalidError("x"))["WWW-Authenticate"]
    assert 'error="invalid_request"' in door.challenge(CredentialsMalformedError("x"))["WWW-Authenticate"]
    nonce = door.challenge(NonceRequiredError("abc"))
    assert 'error="use_dpop_nonce"' in nonce["WWW-Authenticate"]
    assert nonce["DPoP-Nonce"] == "abc"


def test_a_challenge_names_only_documents_there_are() -> None:
    challenge = protection().challenge(CredentialsMissingError("text"))
    assert challenge == {"WWW-Authenticate": 'DPoP algs="PS256 ES256 Ed25519 EdDSA"'}


def test_no_error_speaks_of_what_was_sent() -> None:
    for token, htu in (
        (forged(sub="attacker"), ISSUER + PATH),
        (issue(), "https://attacker.example"),
    ):
        with pytest.raises(AccessError) as refused:
            verify(token, htu=htu)
        assert "attacker" not in str(refused.value)
        assert '"' not in str(refused.value)


def test_nonces_are_handed_out_where_they_are_required() -> None:
    nonces = Nonces(lambda: [NonceKey(bytes(32))])
    door, token = protection(nonces=nonces), issue()
    with pytest.raises(NonceRequiredError) as required:
        verify(token, door)
    assert verify(token, door, nonce=required.value.nonce)
    assert door.fresh_nonce() == {"DPoP-Nonce": nonces.current(time.time())}
    assert protection().fresh_nonce() == {}


async def test_a_token_in_the_address_or_the_body_is_none(world: World, furnisher: Client) -> None:
    details = {"type": "record_submission", "categories": ["FIN"]}
    token = (await furnisher.own_token(details)).json()["access_token"]
    dpop = {"DPoP": proof(furnisher.dpop_key, "/v1/queries", token=token)}
    sent: Any
    for sent in ({"params": {"access_token": token}}, {"data": {"access_token": token}}):
        answer = await world.http.post("/v1/queries", headers=dpop, **sent)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("DPoP ")
