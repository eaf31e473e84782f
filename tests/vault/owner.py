"""The database as its owner: what a test changes that the application may not."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from vault.server.assembly import Vault


async def as_owner(vault: Vault, *statements: str) -> None:
    """Executes statements in one transaction."""
    url = vault.settings.owner_database_url
    assert url is not None
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


def consents_granted_earlier(days: int) -> tuple[str, ...]:
    """Statements that let every consent have been granted so many days, and a second, before it was."""
    earlier = f"interval '{days} days 1 second'"
    return (
        (
            "UPDATE consent.consent"
            f" SET granted_at = granted_at - {earlier}, expires_at = expires_at - {earlier}"
        ),
        f"UPDATE consent.consent_due SET expires_at = expires_at - {earlier}",
    )
