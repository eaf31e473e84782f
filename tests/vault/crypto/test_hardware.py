"""The pkcs11 provider against SoftHSM2: what a token alone has, and what its operator may do wrong."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass

from tests.softhsm import LIBRARY, PIN, SoftToken
from tests.vault.crypto.places import Place, place_of
from vault.crypto.errors import ProviderRefusedError, ProviderUnavailableError
from vault.crypto.provider import KeyKind, KeyProvider
from vault.server.providers import ProviderSettingsError, open_provider
from vault.server.settings import Settings

SECRET = bytes(range(32))


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of("pkcs11", request, tmp_path)


@asynccontextmanager
async def opened(place: Place, **changes: Any) -> AsyncIterator[KeyProvider]:
    async with open_provider(place.settings.model_copy(update=changes)) as keys:
        yield keys


@contextmanager
def session(token: SoftToken) -> Iterator[pkcs11.Session]:
    """What the token's own user may do with it, beside the vault."""
    found = pkcs11.lib(str(LIBRARY)).get_token(token_label=token.label).open(rw=True, user_pin=PIN)
    try:
        yield found
    finally:
        found.close()


def objects(session: pkcs11.Session, place: Place, name: str) -> list[Any]:
    label = f"{place.settings.pkcs11_prefix}-{name}"
    return list(session.get_objects({Attribute.LABEL: label, Attribute.CLASS: ObjectClass.SECRET_KEY}))


def generate(session: pkcs11.Session, place: Place, name: str, key_id: bytes, **changes: bool) -> None:
    session.generate_key(
        KeyType.AES,
        256,
        id=key_id,
        label=f"{place.settings.pkcs11_prefix}-{name}",
        store=True,
        capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
        template={Attribute[attribute]: value for attribute, value in changes.items()},
    )


async def test_no_key_leaves_the_token(place: Place, soft_token: SoftToken) -> None:
    async with opened(place) as keys:
        await keys.create("root")
        await keys.create("index", KeyKind.MAC)
    with session(soft_token) as beside:
        for name in ("root", "index"):
            (key,) = objects(beside, place, name)
            assert (key[Attribute.ALWAYS_SENSITIVE], key[Attribute.NEVER_EXTRACTABLE]) == (True, True)
            with pytest.raises(pkcs11.AttributeSensitive):
                key[Attribute.VALUE]


async def test_a_key_that_may_leave_is_none_of_ours(place: Place, soft_token: SoftToken) -> None:
    final = b"creditvault\0\0\0\1"
    with session(soft_token) as beside:
        generate(beside, place, "root", final, EXTRACTABLE=True, SENSITIVE=True)
        generate(beside, place, "other", final, EXTRACTABLE=False, SENSITIVE=False)
    async with opened(place) as keys:
        for name in ("root", "other"):
            assert await keys.versions(name) == ()
            with pytest.raises(ProviderRefusedError, match="holds no key"):
                await keys.wrap(name, SECRET, b"")


async def test_a_version_that_was_half_made_is_used_by_nobody(place: Place, soft_token: SoftToken) -> None:
    with session(soft_token) as beside:
        generate(
            beside, place, "root", b"pending" + bytes(16) + b"\0\0\0\1", EXTRACTABLE=False, SENSITIVE=True
        )
    async with opened(place) as keys:
        assert await keys.versions("root") == ()
        with pytest.raises(ProviderRefusedError, match="holds no key root"):
            await keys.wrap("root", SECRET, b"")
        assert await keys.create("root") == 2
        assert await keys.versions("root") == (2,)
        await keys.destroy("root")
        assert await keys.create("root") == 3
    with session(soft_token) as beside:
        assert len(objects(beside, place, "root")) == 1


async def test_a_refused_pin_is_not_tried_again_until_its_file_changes(place: Place, tmp_path: Path) -> None:
    pin_file = tmp_path / "pin"
    pin_file.write_text("0000")
    pin_file.chmod(0o600)
    async with opened(place, pkcs11_pin_file=pin_file) as keys:
        with pytest.raises(ProviderUnavailableError, match="PinIncorrect"):
            await keys.health()
        for call in (keys.health(), keys.create("root"), keys.versions("root")):
            with pytest.raises(ProviderUnavailableError, match="not tried again"):
                await call
        pin_file.write_text(PIN)
        assert await keys.create("root") == 1
    for mode, text in ((0o644, "chmod 600"), (None, "CREDITVAULT_PKCS11_PIN_FILE")):
        if mode is None:
            pin_file.unlink()
        else:
            pin_file.chmod(mode)
        async with opened(place, pkcs11_pin_file=pin_file) as keys:
            with pytest.raises(ProviderUnavailableError, match=text):
                await keys.health()


async def test_a_token_that_is_away_is_not_taken_for_an_empty_one(
    place: Place, soft_token: SoftToken
) -> None:
    async with opened(place) as keys:
        await keys.create("root")
        wrapped = await keys.wrap("root", SECRET, b"")
        with soft_token.away():
            for call in (keys.unwrap("root", wrapped, b""), keys.versions("root"), keys.create("root")):
                with pytest.raises(ProviderUnavailableError, match=r"is away|does not answer"):
                    await call
            with pytest.raises(ProviderUnavailableError):
                await keys.health()
        assert await keys.unwrap("root", wrapped, b"") == SECRET
        assert await keys.versions("root") == (1,)


@pytest.mark.parametrize(
    ("setting", "value"), [("pkcs11_library", Path("/none.so")), ("pkcs11_token", "another")]
)
async def test_a_wrong_setting_is_named(place: Place, setting: str, value: object) -> None:
    async with opened(place, **{setting: value}) as keys:
        with pytest.raises(ProviderUnavailableError, match=f"CREDITVAULT_{setting.upper()}"):
            await keys.versions("root")


async def test_what_it_needs_is_asked_for(tmp_path: Path) -> None:
    nothing = Settings(home=tmp_path, key_provider="pkcs11")
    with pytest.raises(ProviderSettingsError, match="CREDITVAULT_PKCS11_LIBRARY"):
        async with open_provider(nothing):
            pass
    named = nothing.model_copy(update={"pkcs11_library": LIBRARY, "pkcs11_token": "vault"})
    with pytest.raises(ProviderSettingsError, match="CREDITVAULT_PKCS11_PIN_FILE"):
        async with open_provider(named):
            pass
