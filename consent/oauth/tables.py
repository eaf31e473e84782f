"""Tables of the authorization server (schema `consent`).

What a stranger could use if he read the database is stored as SHA-256 alone: request URIs, codes, refresh
tokens, ids of assertions and proofs. Rows whose `expires_at` has passed prove nothing any more and may be
removed at any time. A grant is per person and leads its primary key with `subject_id`; it stands beside the
consent it was given with, under the same id.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from consent.tables import body, consent, metadata

pushed_request = Table(
    "pushed_request",
    metadata,
    Column("request_hash", LargeBinary, primary_key=True, comment="SHA-256 of the request_uri"),
    Column("body_id", ForeignKey(body.c.body_id), nullable=False),
    Column("parameters", JSONB, nullable=False, comment="of the authorization request, as validated"),
    Column("dpop_jkt", Text, nullable=False, comment="thumbprint of the key the code will be bound to"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("octet_length(request_hash) = 32", name="request_hash"),
)

oauth_grant = Table(
    "oauth_grant",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("consent_id", Uuid, primary_key=True),
    Column("body_id", ForeignKey(body.c.body_id), nullable=False),
    Column("details", JSONB, nullable=False, comment="authorization_details as granted, one object"),
    Column("granted_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    Column("reason", Text),
    ForeignKeyConstraint(["subject_id", "consent_id"], [consent.c.subject_id, consent.c.consent_id]),
    CheckConstraint("(revoked_at IS NULL) = (reason IS NULL)", name="revoked_for_a_reason"),
)

authorization_code = Table(
    "authorization_code",
    metadata,
    Column("code_hash", LargeBinary, primary_key=True, comment="SHA-256 of the code"),
    Column("subject_id", Uuid, nullable=False),
    Column("consent_id", Uuid, nullable=False),
    Column("body_id", ForeignKey(body.c.body_id), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Text, nullable=False, comment="S256, RFC 7636"),
    Column("dpop_jkt", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used", Boolean, nullable=False),
    ForeignKeyConstraint(["subject_id", "consent_id"], [oauth_grant.c.subject_id, oauth_grant.c.consent_id]),
    CheckConstraint("octet_length(code_hash) = 32", name="code_hash"),
)

refresh_token = Table(
    "refresh_token",
    metadata,
    Column("refresh_hash", LargeBinary, primary_key=True, comment="SHA-256 of the refresh token"),
    Column("subject_id", Uuid, nullable=False),
    Column("consent_id", Uuid, nullable=False),
    Column("body_id", ForeignKey(body.c.body_id), nullable=False),
    Column("issued_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, comment="when the consent ends"),
    ForeignKeyConstraint(["subject_id", "consent_id"], [oauth_grant.c.subject_id, oauth_grant.c.consent_id]),
    CheckConstraint("octet_length(refresh_hash) = 32", name="refresh_hash"),
)

client_assertion = Table(
    "client_assertion",
    metadata,
    Column("body_id", Uuid, primary_key=True),
    Column("jti_hash", LargeBinary, primary_key=True, comment="SHA-256 of the assertion's jti"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

dpop_proof = Table(
    "dpop_proof",
    metadata,
    Column("proof_hash", LargeBinary, primary_key=True, comment="SHA-256 of key thumbprint and jti"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

token_key = Table(
    "token_key",
    metadata,
    Column(
        "version",
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="of the key; 1 is the first and stands in no row",
    ),
    Column("key_id", Uuid, nullable=False, comment="object of its register event"),
    Column("announced_at", DateTime(timezone=True), nullable=False),
    Column("signs_from", DateTime(timezone=True), nullable=False, comment="from then on it signs"),
    Column(
        "others_until",
        DateTime(timezone=True),
        nullable=False,
        comment="from then on no token of an earlier key is accepted",
    ),
    CheckConstraint("version > 1", name="version"),
    CheckConstraint("signs_from >= announced_at AND others_until >= announced_at", name="period"),
)

failed_authentication = Table(
    "failed_authentication",
    metadata,
    Column("counted_hash", LargeBinary, primary_key=True, comment="SHA-256 of the address or the client"),
    Column("failures", Integer, nullable=False, comment="since the period began"),
    Column("expires_at", DateTime(timezone=True), nullable=False, comment="when the period ends"),
)

revoked_token = Table(
    "revoked_token",
    metadata,
    Column("token_jti", Uuid, primary_key=True),
    Column("expires_at", DateTime(timezone=True), nullable=False, comment="when the token ends anyway"),
)
