"""Tables of the citizen's pages (schema `vault`)."""

from sqlalchemy import Column, DateTime, Index, LargeBinary, Table, Text, Uuid

from vault.records.tables import metadata

# A session is found by the SHA-256 of its cookie; the cookie itself is never stored.
citizen_session = Table(
    "citizen_session",
    metadata,
    Column("token", LargeBinary, primary_key=True),
    Column("subject_id", Uuid, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("csrf", Text, nullable=False),
    Column("id_token", Text, comment="for the provider's logout"),
    Column("authenticated_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
Index("citizen_session_by_expiry", citizen_session.c.expires_at)
