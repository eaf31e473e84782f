"""Payloads are sealed for one log, one place, and until the month in which their retention ends."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from vault.crypto.errors import UnsealError
from vault.records.keys import VaultKeys
from vault.records.log_sealer import LogSealer

ZONE = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("moment", "month"),
    [
        (datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC), 203611),
        (datetime(2026, 11, 30, 16, 0, tzinfo=UTC), 203612),  # midnight in the pack's zone
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), 203701),
    ],
)
async def test_payloads_are_sealed_for_the_month_their_retention_ends(
    keys: VaultKeys, moment: datetime, month: int
) -> None:
    sealer = LogSealer(keys, "creditvault.test/log", 10, ZONE)
    time_ms = int(moment.timestamp() * 1000)
    expiry, seal = await sealer.at(time_ms)
    before, sealed = seal(6, [b"another", b"plaintext"])
    assert expiry == month
    assert b"plaintext" not in sealed
    assert await sealer.open(6, month, before) == b"another"
    assert await sealer.open(7, month, sealed) == b"plaintext"
    for index, expiry_id, ciphertext in (
        (8, month, sealed),
        (7, month, sealed[:-1] + b"x"),
        (7, 209912, sealed),
    ):
        with pytest.raises(UnsealError):
            await sealer.open(index, expiry_id, ciphertext)


async def test_a_payload_of_another_log_does_not_open(keys: VaultKeys) -> None:
    one, other = (LogSealer(keys, f"creditvault.test/{name}", 10, ZONE) for name in ("one", "other"))
    now = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp() * 1000)
    expiry, seal = await one.at(now)
    with pytest.raises(UnsealError):
        await other.open(0, expiry, *seal(0, [b"plaintext"]))
