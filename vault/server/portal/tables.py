"""Tables of the citizen's pages (schema `vault`).

Each row belongs to a ticket (vault.crypto.tickets) that travels in a cookie or a code and is stored nowhere:
found by a digest of it, sealed under a key made of it. So the tables name nobody, and a session cannot be
taken over by whoever reads them. Rows whose `expires_at` has passed may be removed at any time.
"""

from sqlalchemy import CheckConstraint, Column, DateTime, Index, LargeBinary, Table, Text

from vault.records.tables import metadata

citizen_session = Table(
    "citizen_session",
    metadata,
    Column("place", LargeBinary, primary_key=True, comment="digest of the session's ticket"),
    Column("sealed", LargeBinary, nullable=False, comment="who is signed in: blind index and display name"),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, comment="moves with each request"),
    Column("ends_at", DateTime(timezone=True), nullable=False, comment="never moves"),
    Column("provider_session", LargeBinary, comment="SHA-256 of the provider's name of its session"),
    CheckConstraint("octet_length(place) = 32", name="session_place"),
    CheckConstraint("octet_length(provider_session) = 32", name="session_provider"),
)
Index("citizen_session_by_provider", citizen_session.c.provider_session)
Index("citizen_session_by_expiry", citizen_session.c.expires_at)

# What is used once: a sign-in that was begun, and a code of the demo's identity provider.
single_use = Table(
    "single_use",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("place", LargeBinary, primary_key=True, comment="digest of the ticket"),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("kind IN ('sign-in', 'demo-code')", name="single_use_kind"),
    CheckConstraint("octet_length(place) = 32", name="single_use_place"),
)
Index("single_use_by_expiry", single_use.c.expires_at)
