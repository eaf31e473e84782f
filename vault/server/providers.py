"""The key provider the settings name, opened and closed again."""

import functools
import getpass
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from vault.crypto.held import HeldKeys, KeyHolder
from vault.crypto.journal import Journal
from vault.crypto.keyring import FileKeyring
from vault.crypto.openbao import Transit
from vault.crypto.openbao_server import AppRole, Login, OpenBaoServer, TokenFile
from vault.crypto.provider import KeyProvider
from vault.crypto.succeeding import SucceedingKeys
from vault.errors import VaultError
from vault.records.keys import ROOT
from vault.server.settings import Settings


class PassphraseMissingError(VaultError):
    """Nothing says what opens the keyring."""


class KeyringLostError(VaultError):
    """The root keys are missing, and the database holds keys that no others open."""


class ProviderNeededError(VaultError):
    """Something in the database needs a key provider that is not named."""


class KeepsKeysError(VaultError):
    """The key provider never destroys a key, and nobody said that it may be so."""


class ProviderSettingsError(VaultError):
    """A key provider is named, and not what it needs."""


@asynccontextmanager
async def open_provider(settings: Settings) -> AsyncIterator[KeyProvider]:
    """Opens the key provider, with the former one while the vault moves; nothing is asked of it yet.

    Raises:
        PassphraseMissingError, ProviderSettingsError: something it needs is not named.
        ProviderError: it cannot be used.
    """
    provider = _opened(settings, settings.key_provider)
    try:
        former = settings.former_key_provider
        if former is not None:
            if former == settings.key_provider:
                raise ProviderSettingsError(
                    f"CREDITVAULT_FORMER_KEY_PROVIDER names {former}, too: a vault moves to a provider of "
                    "another kind; unset it"
                )
            provider = SucceedingKeys(provider, _opened(settings, former), ROOT)
        yield provider
    finally:
        await provider.close()


def _opened(settings: Settings, kind: str) -> KeyProvider:
    if kind == "file":
        return keyring(settings)
    holder = _hardware(settings) if kind == "pkcs11" else _key_server(settings)
    return HeldKeys(holder, journal(settings), settings.key_cache_seconds)


@asynccontextmanager
async def first_provider(
    settings: Settings, *, exists: bool, needed: Collection[str]
) -> AsyncIterator[KeyProvider]:
    """Opens the key provider of a vault that may be new: makes a keyring, or the folder of the journal.

    Args:
        settings: which one.
        exists: whether the database holds keys already, which only the provider that wrapped them opens.
        needed: the providers that made what it holds.

    Raises:
        KeyringLostError: it does, and the provider has no root key.
        VaultError, ProviderError: as `open_provider`.
    """
    if "file" in settings.key_providers:
        if not settings.keyring_path.exists():
            # A vault that moves to a keyring needs a new one.
            if exists and (settings.former_key_provider is None or "file" in needed):
                raise KeyringLostError(
                    f"the keyring {settings.keyring_path} is missing, and only it opens the keys of this "
                    "database: put it back from its newest copy, or name it in CREDITVAULT_KEYRING"
                )
            FileKeyring.create_file(settings.keyring_path, passphrase(settings))
    else:
        settings.keyring_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with open_provider(settings) as provider:
        if exists and not await provider.versions(ROOT):
            raise KeyringLostError(
                f"the key provider {' and '.join(settings.key_providers)} has no root key, and the database "
                "holds keys that only the root key which wrapped them opens: check CREDITVAULT_KEY_PROVIDER "
                "and the settings that name its keys"
            )
        yield provider


def require_needed(settings: Settings, needed: Collection[str]) -> None:
    """Refuses settings that lack a provider without which something in the database does not open.

    Raises:
        ProviderNeededError: one is not named; the message says which, and what to do.
    """
    lacking = [one for one in needed if one not in settings.key_providers]
    if not lacking:
        return
    alone = "KEY_PROVIDER" if len(needed) == 1 else "FORMER_KEY_PROVIDER"
    moving = "" if len(needed) == 1 else " until `creditvault keys move` says that it may go"
    raise ProviderNeededError(
        f"keys of this vault are with the key provider {lacking[0]}, which the settings do not name: set "
        f"CREDITVAULT_{alone}={lacking[0]}{moving}"
    )


def require_destruction(provider: KeyProvider, settings: Settings) -> None:
    """Refuses a key provider under which nothing ever expires.

    Raises:
        KeepsKeysError: it never destroys a key, and the settings do not allow that.
    """
    if provider.destroy_policy == "none" and not settings.provider_may_keep_keys:
        raise KeepsKeysError(
            "the key provider never destroys a key, so nothing would ever expire: use one that does, or set "
            "CREDITVAULT_PROVIDER_MAY_KEEP_KEYS=true, and every entry about it will say so"
        )


def journal(settings: Settings) -> Journal:
    """The journal of unwraps, beside the keyring or where one would be."""
    return Journal.of(settings.keyring_path)


def keyring(settings: Settings) -> FileKeyring:
    """Opens the keyring.

    Raises:
        PassphraseMissingError: no passphrase is named.
        KeyringError: the file is missing, unreadable, damaged, or the passphrase is wrong.
    """
    return FileKeyring.open(settings.keyring_path, passphrase(settings))


def passphrase(settings: Settings) -> str:
    """The keyring's passphrase; where none is named, a terminal is asked for that of a keyring there is.

    Raises:
        PassphraseMissingError: no passphrase is named, or its file cannot be read.
    """
    try:
        found = settings.read_passphrase()
    except OSError as error:
        raise PassphraseMissingError(
            f"the passphrase file {settings.passphrase_file} cannot be read: {error.strerror}"
        ) from None
    if not found and settings.keyring_path.exists() and sys.stdin is not None and sys.stdin.isatty():
        found = _asked(settings.keyring_path)
    if not found:
        raise PassphraseMissingError(
            "no passphrase for the keyring: set CREDITVAULT_PASSPHRASE_FILE to a file of mode 0600 with it"
        )
    return found


@functools.cache
def _asked(keyring_path: Path) -> str:
    """What is typed, without an echo, once for a command however often it opens the keyring."""
    return getpass.getpass(f"Passphrase of {keyring_path}: ")


def _hardware(settings: Settings) -> KeyHolder:
    if settings.pkcs11_library is None or settings.pkcs11_token is None:
        raise ProviderSettingsError(
            "no hardware module is named: set CREDITVAULT_PKCS11_LIBRARY to its library and "
            "CREDITVAULT_PKCS11_TOKEN to the label of its token"
        )
    pin = settings.pkcs11_pin_path
    if pin is None:
        raise ProviderSettingsError(
            "no PIN for the hardware module is named: set CREDITVAULT_PKCS11_PIN_FILE to a file of mode 0600 "
            "with it"
        )
    try:
        from vault.crypto.hardware import HardwareModule  # noqa: PLC0415 -- loads an optional package
    except ImportError:
        raise ProviderSettingsError(
            "the package python-pkcs11 is missing: install creditvault[pkcs11]"
        ) from None
    return HardwareModule(
        settings.pkcs11_library,
        settings.pkcs11_token,
        pin,
        settings.pkcs11_prefix,
        beside=settings.keyring_path,
    )


def _key_server(settings: Settings) -> Transit:
    if settings.openbao_url is None:
        raise ProviderSettingsError("no key server is named: set CREDITVAULT_OPENBAO_URL to its address")
    server = OpenBaoServer(
        settings.openbao_url,
        _login(settings),
        ca_file=settings.openbao_ca_file,
        namespace=settings.openbao_namespace,
        timeout=settings.openbao_timeout_seconds,
    )
    return Transit(server, settings.openbao_mount, settings.openbao_prefix)


def _login(settings: Settings) -> Login:
    if settings.openbao_role_id is not None:
        secret_id = settings.openbao_secret_id_path
        if secret_id is None:
            raise ProviderSettingsError(
                "no secret id for the role is named: set CREDITVAULT_OPENBAO_SECRET_ID_FILE to a file of "
                "mode 0600 with it"
            )
        return AppRole(settings.openbao_role_id, secret_id)
    token = settings.openbao_token_path
    if token is None:
        raise ProviderSettingsError(
            "no token for the key server is named: set CREDITVAULT_OPENBAO_TOKEN_FILE to a file of mode 0600 "
            "with it, or CREDITVAULT_OPENBAO_ROLE_ID"
        )
    return TokenFile(token)
