"""Tables of who may ask what (schema `consent`).

Registers hold the present state; `register_event` holds, unaltered, the document of every change, whose
SHA-256 stands in the access log. `consent`, `consent_event` and `freeze_event` are only ever inserted into:
the state of a consent, and of a person's freeze, is its list of events. What changes with each query, the
counters, stands apart in the two `_use` tables. `consent`, its three companions and `freeze_event` are per
person: they lead their primary keys with `subject_id`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    schema="consent",
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    },
)

body = Table(
    "body",
    metadata,
    Column("body_id", Uuid, primary_key=True, comment="also the OAuth client_id"),
    Column("uscc", Text, nullable=False, unique=True, comment="unified social credit code, GB 32100"),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("contact", JSONB, nullable=False, comment="{address, contact}, for citizens"),
    Column("jwks", JSONB, nullable=False, comment="public keys only"),
    Column("redirect_uris", ARRAY(Text), nullable=False),
    Column("purposes", ARRAY(Text), nullable=False, comment="certified purposes"),
    Column("capacities", ARRAY(Text), nullable=False),
    Column("status", Text, nullable=False),
    Column("status_reason", Text),
    Column("status_since", DateTime(timezone=True), nullable=False),
    Column("appeal", Text, comment="where the status can be appealed, or what became of the appeal"),
    Column("registered_at", DateTime(timezone=True), nullable=False),
    Column("jwks_uri", Text, comment="where the body publishes its keys; jwks holds those last found there"),
    Column("jwks_fetched_at", DateTime(timezone=True), comment="when they were last found there"),
    Column("jwks_tried_at", DateTime(timezone=True), comment="when they were last asked for"),
    CheckConstraint("uscc ~ '^[0-9A-Z]{18}$'", name="uscc"),
    CheckConstraint("kind ~ '^[a-z][a-z-]*$'", name="kind"),
    CheckConstraint(
        "cardinality(capacities) > 0 AND capacities <@ ARRAY['ask', 'furnish', 'inspect', 'desk']",
        name="capacities",
    ),
    CheckConstraint("status IN ('active', 'suspended', 'struck-off')", name="status"),
    CheckConstraint("status = 'active' OR status_reason IS NOT NULL", name="status_reason"),
    CheckConstraint("(jwks_uri IS NULL) = (jwks_fetched_at IS NULL)", name="jwks_uri"),
)

officer = Table(
    "officer",
    metadata,
    Column("officer_id", Uuid, primary_key=True),
    Column("body_id", ForeignKey(body.c.body_id), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("status_since", DateTime(timezone=True), nullable=False),
    CheckConstraint("status IN ('active', 'stood-down')", name="status"),
)

registrar = Table(
    "registrar",
    metadata,
    Column("registrar_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("jwk", JSONB, nullable=False, comment="public key that verifies this registrar's statements"),
    Column("thumbprint", Text, nullable=False, unique=True, comment="RFC 7638, SHA-256, base64url"),
    Column("status", Text, nullable=False),
    Column("status_since", DateTime(timezone=True), nullable=False),
    CheckConstraint("status IN ('active', 'stood-down')", name="status"),
)

legal_basis = Table(
    "legal_basis",
    metadata,
    Column("basis_id", Uuid, primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("article", Text, nullable=False),
    Column("jurisdiction", Text, nullable=False),
    Column("in_force_from", Date, nullable=False, comment="first day, in the jurisdiction's time zone"),
    Column("in_force_until", Date, comment="last day"),
    Column("purposes", ARRAY(Text), nullable=False),
    Column("categories", ARRAY(Text), nullable=False),
    Column("notice_delay_days", Integer, nullable=False, comment="0: notice may not be delayed"),
    CheckConstraint("in_force_until IS NULL OR in_force_until >= in_force_from", name="in_force"),
    CheckConstraint("notice_delay_days >= 0", name="notice_delay"),
)

authorization = Table(
    "authorization",
    metadata,
    Column("authorization_id", Uuid, primary_key=True),
    Column("body_id", ForeignKey(body.c.body_id), nullable=False, index=True),
    Column("basis_id", ForeignKey(legal_basis.c.basis_id), nullable=False),
    Column("purposes", ARRAY(Text), nullable=False),
    Column("fields", ARRAY(Text), nullable=False),
    Column("scope", Text, nullable=False),
    Column("subjects", ARRAY(LargeBinary), nullable=False, comment="keyed subject hashes, scope named"),
    Column("case_pattern", Text, comment="scope case"),
    Column("per_day", Integer, nullable=False),
    Column("per_case", Integer),
    Column("valid_from", DateTime(timezone=True), nullable=False),
    Column("valid_until", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("content", Text, nullable=False, comment="the terms, to the byte what both registrars signed"),
    Column("proposal", Text, nullable=False, comment="JWS compact"),
    Column("proposer_id", ForeignKey(registrar.c.registrar_id), nullable=False),
    Column("proposer_thumbprint", Text, nullable=False),
    Column("proposed_at", DateTime(timezone=True), nullable=False),
    Column("approval", Text, comment="JWS compact"),
    Column("approver_id", ForeignKey(registrar.c.registrar_id)),
    Column("approver_thumbprint", Text),
    Column("approved_at", DateTime(timezone=True)),
    Column("revocation", Text, comment="JWS compact, when a registrar's statement revoked it"),
    Column("revoked_at", DateTime(timezone=True)),
    Column("court_reference", Text, comment="of the court that ordered the delay of notice"),
    Column("notice_until", DateTime(timezone=True), comment="when the persons named are told"),
    CheckConstraint(
        "(court_reference IS NULL) = (notice_until IS NULL) AND (notice_until IS NULL OR scope = 'named')",
        name="delayed_notice",
    ),
    CheckConstraint("cardinality(purposes) > 0 AND cardinality(fields) > 0", name="covers_something"),
    CheckConstraint(
        "CASE scope WHEN 'named' THEN cardinality(subjects) > 0 AND case_pattern IS NULL"
        " WHEN 'case' THEN cardinality(subjects) = 0 AND case_pattern IS NOT NULL"
        " WHEN 'any' THEN cardinality(subjects) = 0 AND case_pattern IS NULL ELSE false END",
        name="scope",
    ),
    CheckConstraint("per_day > 0 AND (per_case IS NULL OR per_case > 0)", name="quotas"),
    CheckConstraint("valid_until > valid_from", name="validity"),
    # Four eyes stand in the database too: whatever path is used, one registrar or one key cannot play both.
    CheckConstraint("approver_id <> proposer_id", name="two_registrars"),
    CheckConstraint("approver_thumbprint <> proposer_thumbprint", name="two_keys"),
    CheckConstraint(
        "num_nulls(approval, approver_id, approver_thumbprint, approved_at) IN (0, 4)", name="whole_approval"
    ),
    CheckConstraint(
        "CASE state WHEN 'proposed' THEN approval IS NULL AND revoked_at IS NULL"
        " WHEN 'approved' THEN approval IS NOT NULL AND revoked_at IS NULL"
        " WHEN 'revoked' THEN revoked_at IS NOT NULL ELSE false END",
        name="state",
    ),
)

register_order = Table(
    "register_order",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("act", Text, nullable=False, comment="what it orders, as `do` names it"),
    Column("pair", Boolean, nullable=False, comment="whether it needs two registrars"),
    Column("state", Text, nullable=False),
    Column("content", Text, nullable=False, comment="the act, to the byte as signed"),
    Column("statement", Text, nullable=False, comment="JWS compact"),
    Column("registrar_id", ForeignKey(registrar.c.registrar_id), nullable=False),
    Column("thumbprint", Text, nullable=False),
    Column("ordered_at", DateTime(timezone=True), nullable=False),
    Column("agreement", Text, comment="JWS compact"),
    Column("agreed_by", ForeignKey(registrar.c.registrar_id)),
    Column("agreed_thumbprint", Text),
    Column("agreed_at", DateTime(timezone=True)),
    Column("object_id", Uuid, comment="what the act was about or made"),
    # Four eyes stand in the database too, as for an authorization.
    CheckConstraint("agreed_by <> registrar_id", name="two_registrars"),
    CheckConstraint("agreed_thumbprint <> thumbprint", name="two_keys"),
    CheckConstraint(
        "num_nulls(agreement, agreed_by, agreed_thumbprint, agreed_at) IN (0, 4)", name="whole_agreement"
    ),
    CheckConstraint(
        "CASE state WHEN 'waiting' THEN pair AND agreement IS NULL AND object_id IS NULL"
        " WHEN 'dropped' THEN pair AND agreement IS NULL AND object_id IS NULL"
        " WHEN 'done' THEN pair = (agreement IS NOT NULL) AND object_id IS NOT NULL ELSE false END",
        name="state",
    ),
    comment="acts on registers that registrars signed; the state of each is what it came to",
)

authorization_use = Table(
    "authorization_use",
    metadata,
    Column("authorization_id", ForeignKey(authorization.c.authorization_id), primary_key=True),
    Column("counts", Text, primary_key=True, comment="day or case"),
    Column("key", LargeBinary, primary_key=True, comment="ISO date, or SHA-256 over authorization and case"),
    Column("uses", Integer, nullable=False),
    CheckConstraint("counts IN ('day', 'case')", name="counts"),
    CheckConstraint("uses >= 0", name="uses"),
)

# How fast somebody asks (rates.py). Lost with a crash of the server, and harmless then: every bucket is full.
asking_rate = Table(
    "asking_rate",
    metadata,
    Column("whose", Uuid, primary_key=True, comment="a body or an officer"),
    Column("full_at", DateTime(timezone=True), nullable=False, comment="when its bucket is full again"),
    prefixes=["UNLOGGED"],
)

# Whom a clerk helped at a desk, for the limits of RULES 12.
assisted = Table(
    "assisted",
    metadata,
    Column("officer_id", ForeignKey(officer.c.officer_id), primary_key=True),
    Column("day", Date, primary_key=True, comment="legal day"),
    Column("subject_hash", LargeBinary, primary_key=True, comment="keyed hash, as in a token"),
    Column("uses", Integer, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, comment="when it counts for nothing more"),
    CheckConstraint("uses > 0", name="uses"),
)

consent = Table(
    "consent",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("consent_id", Uuid, primary_key=True),
    Column("body_id", ForeignKey(body.c.body_id), nullable=False, index=True),
    Column("purpose", Text, nullable=False),
    Column("fields", ARRAY(Text), nullable=False),
    Column("mode", Text, nullable=False),
    Column("max_uses", Integer),
    Column("frequency_times", Integer),
    Column("frequency_days", Integer),
    Column("data_from", Date),
    Column("data_until", Date),
    Column("granted_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("data_life_days", Integer, nullable=False, comment="how long the body may keep what it saw"),
    Column("notice_uri", Text, nullable=False),
    Column("notice_version", Text, nullable=False),
    Column("notice_hash", LargeBinary, nullable=False, comment="SHA-256"),
    Column("language", Text, nullable=False),
    CheckConstraint("cardinality(fields) > 0", name="covers_something"),
    CheckConstraint("mode IN ('view', 'store')", name="mode"),
    CheckConstraint("max_uses > 0", name="max_uses"),
    CheckConstraint("(frequency_times IS NULL) = (frequency_days IS NULL)", name="whole_frequency"),
    CheckConstraint("frequency_times > 0 AND frequency_days > 0", name="frequency"),
    # A consent without any bound on its use could be drawn on for ever.
    CheckConstraint("max_uses IS NOT NULL OR frequency_times IS NOT NULL", name="bounded_use"),
    CheckConstraint("data_until >= data_from", name="data_range"),
    CheckConstraint("expires_at > granted_at", name="validity"),
    CheckConstraint("data_life_days >= 0", name="data_life"),
    CheckConstraint("octet_length(notice_hash) = 32", name="notice_hash"),
)

consent_event = Table(
    "consent_event",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("consent_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="1 is the grant"),
    Column("event", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("reason", Text),
    Column("record", Text, nullable=False, comment="ISO/IEC TS 27560 consent record, JSON as signed"),
    Column("copy", Text, nullable=False, comment="JWS compact over the record, the citizen's copy"),
    ForeignKeyConstraint(["subject_id", "consent_id"], [consent.c.subject_id, consent.c.consent_id]),
    CheckConstraint("number > 0", name="number"),
    CheckConstraint("(number = 1) = (event = 'granted')", name="grant_comes_first"),
    CheckConstraint("event IN ('granted', 'withdrawn', 'expired')", name="event"),
)

consent_due = Table(
    "consent_due",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("consent_id", Uuid, primary_key=True),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    ForeignKeyConstraint(["subject_id", "consent_id"], [consent.c.subject_id, consent.c.consent_id]),
    comment="consents that stand; a row goes when the end of its consent is written down",
)

consent_use = Table(
    "consent_use",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("consent_id", Uuid, primary_key=True),
    Column("uses", Integer, nullable=False, comment="since the grant"),
    Column("period", Integer, nullable=False, comment="number of the frequency period last used, from 0"),
    Column("period_uses", Integer, nullable=False),
    ForeignKeyConstraint(["subject_id", "consent_id"], [consent.c.subject_id, consent.c.consent_id]),
    CheckConstraint("uses >= 0 AND period >= 0 AND period_uses >= 0", name="counts"),
)

mandate = Table(
    "mandate",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("mandate_id", Uuid, primary_key=True),
    Column("representative_id", Uuid, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("rights", ARRAY(Text), nullable=False),
    Column("document_hash", LargeBinary, comment="SHA-256, where there is a document"),
    Column("given_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True), comment="when one of the two ended it"),
    CheckConstraint("representative_id <> subject_id", name="somebody_else"),
    CheckConstraint("kind IN ('lawyer', 'relative', 'other', 'guardian')", name="kind"),
    CheckConstraint(
        "cardinality(rights) > 0 AND rights <@ ARRAY['read', 'withdraw', 'freeze']", name="rights"
    ),
    CheckConstraint("octet_length(document_hash) = 32", name="document_hash"),
    CheckConstraint("expires_at > given_at AND ended_at >= given_at", name="validity"),
)

freeze_event = Table(
    "freeze_event",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="1 is the first beginning"),
    Column("event", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    CheckConstraint("number > 0", name="number"),
    # They take turns, beginning with a beginning.
    CheckConstraint("event = CASE number % 2 WHEN 1 THEN 'begun' ELSE 'ended' END", name="event"),
)

# Who was erased, by whose order. The ids lead to nobody any more; the certificate is what was given out.
erasure = Table(
    "erasure",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("order_id", Uuid, comment="null where a restored database lacks it"),
    Column("with_log", Boolean, nullable=False),
    Column("erased_at", DateTime(timezone=True), nullable=False),
    Column("certificate", Text, comment="JWS compact; null where it was done once more after a restore"),
)

# Which identities were found to be one person's, and which of them were taken apart again (merging.py).
merge_event = Table(
    "merge_event",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("event", Text, nullable=False),
    Column("others", ARRAY(Uuid), nullable=False, comment="whom it was joined with, or taken apart from"),
    Column("joined", Boolean, nullable=False, comment="whether it is joined with anybody from then on"),
    Column("order_id", Uuid, comment="null where an operator did it while the vault was set up"),
    Column("reason", Text, nullable=False),
    Column("document_hash", LargeBinary, comment="SHA-256; null where it was done once more after a restore"),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("entry_index", BigInteger, nullable=False, comment="of its entry in this identity's stream"),
    CheckConstraint("number > 0", name="number"),
    CheckConstraint("event = 'split' OR (event = 'merged' AND joined)", name="event"),
    CheckConstraint("cardinality(others) > 0 AND subject_id <> ALL (others)", name="others"),
    CheckConstraint("octet_length(document_hash) = 32", name="document_hash"),
)

register_event = Table(
    "register_event",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column(
        "object_id", Uuid, nullable=False, comment="body, officer, registrar, basis, authorization or order"
    ),
    Column("event", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("document", Text, nullable=False, comment="JSON; its SHA-256 stands in the access log"),
)
Index("register_event_of_object", register_event.c.object_id, register_event.c.at)
