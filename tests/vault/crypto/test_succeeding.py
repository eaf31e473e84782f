"""Two providers as one: what is made where, and that everything opens, while a vault moves between them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.vault.crypto.places import place_of
from vault.crypto.errors import UnsealError
from vault.crypto.keyring import FileKeyring
from vault.crypto.provider import DelayedDestroy, DestroyPolicy, KeyKind
from vault.crypto.succeeding import SucceedingKeys
from vault.server.providers import open_provider

ONE, TWO = (b"1" * 32, b"one"), (b"2" * 32, b"two")


@pytest.fixture
async def keys(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SucceedingKeys]:
    settings = place_of("file", request, tmp_path).settings
    held = place_of("openbao", request, tmp_path).settings
    stated = held.model_dump(include=held.model_fields_set - {"home"})
    async with open_provider(
        settings.model_copy(update={**stated, "former_key_provider": "file"})
    ) as provider:
        assert isinstance(provider, SucceedingKeys)
        await provider.create("root")
        await provider.create("index", KeyKind.MAC)
        yield provider


async def test_the_newest_version_says_where_things_are_made(keys: SucceedingKeys) -> None:
    assert (await keys.former.versions("root"), await keys.new.versions("root")) == ((1,), ())
    old = await keys.wrap("root", *ONE)
    older = await keys.mac("index", b"message")
    await keys.create("expiry-203001")
    # As an interrupted rotation leaves it: made, and known to nobody.
    assert await keys.former.create("root") == 2
    await keys.new.create("root")
    assert keys.version_of(await keys.wrap("root", *TWO)) == 2, "a version counted past makes nothing"

    assert await keys.make_above("root", KeyKind.WRAP, 1, []) == 3
    assert await keys.make_above("root", KeyKind.WRAP, 1, []) == 3
    assert await keys.new.versions("root") == (3,)
    assert await keys.versions("root") == (1, 2, 3)
    new = await keys.wrap("root", *TWO)
    assert (old[0], new[0], keys.version_of(new)) == (1, 2, 3)
    assert await keys.mac("index", b"message") == older, "the index key goes by its own versions"
    assert await keys.make_above("index", KeyKind.MAC, 1, []) == 2
    newer = await keys.mac("index", b"message")
    assert (newer.version, newer.value != older.value) == (2, True)
    assert await keys.mac("index", b"message", 1) == older

    items = [(new, b"two"), (old, b"one"), (new, b"two")]
    assert await keys.unwrap_many("root", items) == [TWO[0], ONE[0], TWO[0]]
    wrapped = await keys.rewrap_many("root", items)
    assert [keys.version_of(one) for one in wrapped] == [3] * 3
    assert await keys.unwrap("root", wrapped[1], b"one") == ONE[0]
    for bad, at in (((old, b"other"), 1), ((new, b"other"), 2), ((b"\x07" + old[1:], b"one"), 1)):
        with pytest.raises(UnsealError) as refused:
            await keys.unwrap_many("root", [*items[:at], bad])
        assert refused.value.position == at

    # A month stays where its key is; those made from now on are made in the new one.
    assert (await keys.wrap("expiry-203001", *ONE))[0] == 1
    await keys.create("expiry-203002")
    assert (await keys.wrap("expiry-203002", *ONE))[0] == 2
    await keys.new.create("expiry-203001")
    await keys.destroy("expiry-203001")
    assert await keys.versions("expiry-203001") == ()
    await keys.destroy("root", 1)
    assert await keys.versions("root") == (2, 3)
    await keys.health()


async def test_what_is_destroyed_is_gone_when_it_is_gone_from_both(
    keys: SucceedingKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys.makers == frozenset({1, 2})
    policies: list[DestroyPolicy] = ["now", DelayedDestroy(7), "none"]
    for policy in policies:
        monkeypatch.setattr(FileKeyring, "destroy_policy", policy)
        assert keys.destroy_policy == policy
