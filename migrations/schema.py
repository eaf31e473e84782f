"""All tables of all rooms, for comparing the migrated database with the code."""

import consent.oauth.tables
import consent.tables
import vault.records.tables
import vault.server.portal.tables
from access_log.tables import metadata as access_log_metadata

METADATA = [
    access_log_metadata,
    consent.tables.metadata,
    vault.records.tables.metadata,
]

__all__ = ["METADATA", "consent", "vault"]
