"""The rooms put together: what one worker process holds open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.archive import Archive
from access_log.endings import EndingsFile
from access_log.errors import FormatError
from access_log.lock import OutsideLock
from access_log.log import Log
from access_log.policy import Policy
from access_log.reapplying import Endings
from access_log.references import Reference, patient, witness_reference
from access_log.roots.leaf import roots_origin
from access_log.roots.log import RootsLog
from access_log.signing_keys import SigningKey
from access_log.sources import Directory
from access_log.web import Website
from access_log.witness.witnessing import Witnessing, shown, urls_of
from consent.copies import CopySigner
from consent.oauth.dpop import Nonces
from consent.oauth.profile import Profile
from consent.oauth.protection import Protection
from consent.oauth.tokens import IssuerKeys
from consent.rates import Rates
from consent.record import Keeper
from vault.catalogue import Catalogue, load_catalogue
from vault.crypto.blind import CN_RIC, DEMO_ID
from vault.crypto.keyring import FileKeyring
from vault.errors import VaultError
from vault.records.disclose import Disclosure
from vault.records.enrol import Enrolment
from vault.records.intake import Intake
from vault.records.keys import (
    CONSENT_SIGNING,
    LABEL_MASTER,
    PROOF_NONCE,
    ROOTS_SIGNING,
    LogSealer,
    VaultKeys,
)
from vault.records.neighbours import Neighbours
from vault.records.signers import LogSigners
from vault.records.watch import Measures
from vault.rights.reapply import reapplier
from vault.server.database import application_engine
from vault.server.settings import Settings
from vault.server.token_keys import TokenKeys

_events = structlog.get_logger()


class PassphraseMissingError(VaultError):
    """Nothing says what opens the keyring."""


class KeyringLostError(VaultError):
    """The keyring is missing, and the database holds keys that no other one opens."""


class NoWitnessPolicyError(VaultError):
    """The policy that says whose cosignatures to obtain is missing, or cannot be used."""


@dataclass(frozen=True)
class Vault:
    """Everything a worker needs, open and checked."""

    settings: Settings
    engine: AsyncEngine
    catalogue: Catalogue
    keys: VaultKeys
    log: Log
    witnessing: Witnessing | None
    roots: RootsLog
    disclosure: Disclosure
    intake: Intake
    profile: Profile
    protection: Protection
    token_keys: TokenKeys
    keeper: Keeper
    schemes: frozenset[str]


def keyring(settings: Settings) -> FileKeyring:
    """Opens the keyring.

    Raises:
        PassphraseMissingError: no passphrase is named.
        KeyringError: the file is missing, unreadable, damaged, or the passphrase is wrong.
    """
    return FileKeyring.open(settings.keyring_path, passphrase(settings))


def passphrase(settings: Settings) -> str:
    """The keyring's passphrase.

    Raises:
        PassphraseMissingError: no passphrase is named, or its file cannot be read.
    """
    try:
        found = settings.read_passphrase()
    except OSError as error:
        raise PassphraseMissingError(
            f"the passphrase file {settings.passphrase_file} cannot be read: {error.strerror}"
        ) from None
    if not found:
        raise PassphraseMissingError(
            "no passphrase for the keyring: set CREDITVAULT_PASSPHRASE_FILE to a file of mode 0600 with it"
        )
    return found


def measures(settings: Settings, catalogue: Catalogue) -> Measures:
    """From when on something about queries strikes one."""
    return Measures(
        settings.watch_first_hour,
        settings.watch_last_hour,
        settings.watch_many_persons,
        settings.watch_same_person,
        catalogue.timezone,
    )


async def _first_keyring(settings: Settings, engine: AsyncEngine) -> FileKeyring:
    """Makes the keyring of a new vault; in the place of a lost one it would open nothing."""
    if await VaultKeys.exist(engine):
        raise KeyringLostError(
            f"the keyring {settings.keyring_path} is missing, and only it opens the keys of this database: "
            "put it back from its newest copy, or name it in CREDITVAULT_KEYRING"
        )
    return FileKeyring.create_file(settings.keyring_path, passphrase(settings))


async def set_up(settings: Settings, database_url: str) -> None:
    """Makes the first keys and the log of a migrated database; harmless when repeated.

    Raises:
        VaultError, CryptoError, AccessLogError: what is missing or wrong, and what to do.
    """
    engine = application_engine(database_url, settings)
    try:
        provider = (
            keyring(settings) if settings.keyring_path.exists() else await _first_keyring(settings, engine)
        )
        await VaultKeys.create(engine, provider)
        keys = await VaultKeys.open(engine, provider)
        log = _log(settings, engine, keys, load_catalogue(settings.pack))
        await log.create()
        await log.make_partitions_ahead()
        await _roots(settings, log, keys).create()
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_vault(settings: Settings, database_url: str) -> AsyncIterator[Vault]:
    """Opens everything, compares the database with the outside lock, and closes it at the end.

    Raises:
        VaultError, CryptoError, AccessLogError: what is missing or wrong, and what to do.
    """
    catalogue = load_catalogue(settings.pack)
    provider = keyring(settings)
    engine = application_engine(database_url, settings)
    witnessing = None
    try:
        keys = await VaultKeys.open(engine, provider)
        log = _log(settings, engine, keys, catalogue)
        witnessing = _witnessing(settings, log)
        if settings.witness_mode == "sync":
            log.witnesses = witnessing
        await log.start()
        schemes = frozenset({CN_RIC, DEMO_ID}) if settings.demo else frozenset({CN_RIC})
        signing = TokenKeys(engine, keys)
        profile = Profile(
            settings.issuer,
            IssuerKeys(await signing.now()),
            Nonces(keys.system(PROOF_NONCE)) if settings.proof_nonces else None,
        )
        yield Vault(
            settings=settings,
            engine=engine,
            catalogue=catalogue,
            keys=keys,
            log=log,
            witnessing=witnessing,
            roots=_roots(settings, log, keys),
            disclosure=Disclosure(
                log,
                keys,
                catalogue,
                Rates(settings.body_queries_per_minute, settings.officer_queries_per_minute),
                Neighbours(settings.watch_neighbours),
                window=settings.batch_window_ms / 1000,
                most=settings.batch_max,
            ),
            intake=Intake(Enrolment(log, keys, catalogue), catalogue, schemes),
            profile=profile,
            protection=profile.protection(),
            token_keys=signing,
            keeper=_keeper(settings, keys, catalogue),
            schemes=schemes,
        )
    finally:
        if witnessing is not None:
            await witnessing.close()
        await engine.dispose()


@asynccontextmanager
async def open_log(settings: Settings, database_url: str) -> AsyncIterator[Log]:
    """The log alone, not started: to look at it, even where it would refuse to start.

    Raises:
        VaultError, CryptoError: what is missing or wrong, and what to do.
    """
    provider = keyring(settings)
    engine = application_engine(database_url, settings)
    try:
        keys = await VaultKeys.open(engine, provider)
        yield _log(settings, engine, keys, load_catalogue(settings.pack))
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_roots(settings: Settings, database_url: str) -> AsyncIterator[RootsLog]:
    """The log of roots with its log, not started.

    Raises:
        VaultError, CryptoError: what is missing or wrong, and what to do.
    """
    provider = keyring(settings)
    engine = application_engine(database_url, settings)
    try:
        keys = await VaultKeys.open(engine, provider)
        yield _roots(settings, _log(settings, engine, keys, load_catalogue(settings.pack)), keys)
    finally:
        await engine.dispose()


def _log(settings: Settings, engine: AsyncEngine, keys: VaultKeys, catalogue: Catalogue) -> Log:
    origin = settings.log_origin
    return Log(
        engine,
        origin=origin,
        master=keys.system(LABEL_MASTER),
        sealer=LogSealer(keys, origin, settings.payload_years, catalogue.timezone),
        signers=LogSigners(keys, origin, ml_dsa=settings.log_ml_dsa),
        outside=OutsideLock(settings.outside_lock_path),
        archive=Archive(settings.archive_dir) if settings.archive_dir is not None else None,
        references=_references(settings),
        endings=Endings(
            EndingsFile(settings.endings_path, origin), reapplier(CopySigner(keys.system(CONSENT_SIGNING)))
        ),
    )


def _references(settings: Settings) -> tuple[Reference, ...]:
    """Where others see this log: a folder that is not there yet holds nothing against the database."""
    found: list[Reference] = []
    place = settings.published_log or settings.publish_dir
    if place is not None:
        source = Website(place) if isinstance(place, str) and "://" in place else Directory(Path(place))
        found.append(Reference(f"the published log {place}", patient(source), _not_compared))
    policy = witness_policy(settings)
    if policy is not None:
        found.extend(
            witness_reference(shown(policy.witnesses[name]), url, settings.log_origin, _not_compared)
            for name, url in urls_of(policy).items()
        )
    return tuple(found)


def _not_compared(reason: str) -> None:
    _events.warning("reference_not_compared", reason=reason)


def witness_policy(settings: Settings) -> Policy | None:
    """Whose cosignatures are obtained; None where no policy is named.

    Raises:
        NoWitnessPolicyError: one is needed and none is named, or it cannot be used.
    """
    if settings.witness_policy is None:
        if settings.witness_mode == "sync":
            raise NoWitnessPolicyError(
                "nothing says whose cosignatures to wait for: set CREDITVAULT_WITNESS_POLICY to a policy file"
            )
        return None
    try:
        policy = Policy.parse(settings.witness_policy.read_bytes())
        urls_of(policy)
    except OSError as error:
        raise NoWitnessPolicyError(
            f"the policy {settings.witness_policy} cannot be read ({error.strerror}): check "
            "CREDITVAULT_WITNESS_POLICY"
        ) from None
    except FormatError as error:
        raise NoWitnessPolicyError(
            f"the policy {settings.witness_policy} cannot be used ({error}): docs/operations.md shows one"
        ) from None
    return policy


def _witnessing(settings: Settings, log: Log) -> Witnessing | None:
    """Who asks the witnesses of the policy that is named; None where none is."""
    policy = witness_policy(settings)
    if policy is None:
        return None
    return Witnessing(
        log.engine,
        log.number,
        log.origin,
        policy,
        log.every_verifier_key,
        timeout=settings.witness_timeout_seconds,
    )


def _roots(settings: Settings, log: Log, keys: VaultKeys) -> RootsLog:
    origin = roots_origin(log.origin)
    return RootsLog(log, SigningKey.from_seed(origin, keys.system(ROOTS_SIGNING)), auditors=settings.auditors)


def _keeper(settings: Settings, keys: VaultKeys, catalogue: Catalogue) -> Keeper:
    """Who keeps the register of consents, as each consent record states it."""
    return Keeper(
        party_id=settings.operator_code,
        name=settings.operator_name,
        address=settings.operator_address,
        contact=settings.operator_contact,
        jurisdiction=catalogue.jurisdiction,
        storage_locations=(catalogue.jurisdiction,),
        withdrawal_method=f"{settings.issuer}/consents",
        privacy_rights=f"{settings.issuer}/privacy",
        signer=CopySigner(keys.system(CONSENT_SIGNING)),
    )
