"""The rooms put together: what one worker process holds open."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log import closing, writes
from access_log.archive import Archive
from access_log.closed.log import ClosedLog
from access_log.endings import EndingsFile
from access_log.errors import FormatError
from access_log.lock import OutsideLock
from access_log.log import Log
from access_log.policy import Policy
from access_log.reapplying import Endings
from access_log.references import Reference, patient, witness_reference
from access_log.roots.log import RootsLog
from access_log.sources import Directory
from access_log.stored_log import StoredLog
from access_log.verifier_keys import VerifierKey
from access_log.web import Website
from access_log.witness.witnessing import Witnessing, shown, urls_of
from consent.carrying_out import Nameable
from consent.journal import VAULT
from consent.oauth.dpop import NonceKey, Nonces
from consent.oauth.profile import Profile
from consent.oauth.protection import Protection
from consent.oauth.tokens import IssuerKeys
from consent.rates import Rates
from consent.record import Keeper, Signer
from vault.catalogue import Catalogue, load_catalogue
from vault.crypto.blind import CN_RIC, DEMO_ID
from vault.errors import VaultError
from vault.records import subjects
from vault.records.copy_keys import CopyKeys
from vault.records.disclose import Disclosure
from vault.records.enrol import Enrolment
from vault.records.identities import Identities
from vault.records.intake import Intake
from vault.records.joining import JoinedSubjects
from vault.records.keys import LABEL_MASTER, PROOF_NONCE, VaultKeys
from vault.records.log_sealer import LogSealer
from vault.records.month_ends import MonthEnds
from vault.records.neighbours import Neighbours
from vault.records.signers import LogSigners, RootsSigners
from vault.records.watch import Measures
from vault.rights.erasure import CERTIFICATE
from vault.rights.holds import held
from vault.rights.naming import Names
from vault.rights.reapply import reapplier
from vault.server import endings
from vault.server.announced_keys import watch
from vault.server.database import application_engine
from vault.server.providers import first_provider, open_provider, require_destruction, require_needed
from vault.server.settings import Settings, archive_of
from vault.server.token_keys import TokenKeys

_events = structlog.get_logger()


class NoWitnessPolicyError(VaultError):
    """The policy that says whose cosignatures to obtain is missing, or cannot be used."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed log with its log of roots."""

    log: ClosedLog
    roots: RootsLog


@dataclass(frozen=True)
class Vault:
    """Everything a worker needs, open and checked."""

    settings: Settings
    engine: AsyncEngine
    catalogue: Catalogue
    keys: VaultKeys
    log: Log
    closed: tuple[Closed, ...]
    witnessing: Witnessing | None
    roots: RootsLog
    disclosure: Disclosure
    identities: Identities
    enrolment: Enrolment
    intake: Intake
    profile: Profile
    protection: Protection
    token_keys: TokenKeys
    keeper: Keeper
    schemes: frozenset[str]

    @property
    def names(self) -> Names:
        """Who names persons to registrars."""
        return Names(self.log, self.keys, self.identities, self.catalogue, self.schemes)

    @property
    def nameable(self) -> Nameable:
        """What acts on registers may name."""
        known = self.catalogue
        return Nameable(
            known.purposes,
            known.body_kinds,
            known.fields,
            known.categories,
            known.pack.code,
            subjects.read,
            JoinedSubjects(),
        )

    @property
    def logs(self) -> tuple[StoredLog, ...]:
        """Every log of the database, the oldest first: what people are shown spans them all."""
        return (*(each.log for each in self.closed), self.log)


def schemes_of(settings: Settings) -> frozenset[str]:
    """The identifier schemes this deployment serves; invented people belong to a demo alone."""
    return frozenset({CN_RIC, DEMO_ID}) if settings.demo else frozenset({CN_RIC})


def month_ends(vault: Vault) -> MonthEnds:
    """Who ends months that are over."""
    settings = vault.settings

    async def holding(connection: AsyncConnection) -> Mapping[int, Sequence[int]]:
        return (await held(connection, vault.logs)).payloads

    return MonthEnds(
        vault.log,
        vault.keys,
        vault.catalogue,
        grace_days=settings.expiry_grace_days,
        backup_days=settings.backup_days,
        logs=vault.logs,
        holding=holding,
    )


def certifier(vault: Vault) -> Signer:
    """Who signs certificates of erasure."""
    return CopyKeys(vault.keys.announced).signer(CERTIFICATE)


def measures(settings: Settings, catalogue: Catalogue) -> Measures:
    """From when on something about queries strikes one."""
    return Measures(
        settings.watch_first_hour,
        settings.watch_last_hour,
        settings.watch_many_persons,
        settings.watch_same_person,
        catalogue.timezone,
    )


async def set_up(settings: Settings, database_url: str) -> None:
    """Makes the first keys and the log of a migrated database; harmless when repeated.

    A file of endings is begun where it is owed (vault/server/endings.py). In any other vault a missing one is
    missing, and the log does not start.

    Args:
        settings: of the vault.
        database_url: of the application role.

    Raises:
        VaultError, CryptoError, AccessLogError: what is missing or wrong, and what to do.
    """
    engine = application_engine(database_url, settings)
    try:
        needed = await VaultKeys.needed(engine)
        require_needed(settings, needed)
        exists = await VaultKeys.exist(engine)
        async with first_provider(settings, exists=exists, needed=needed) as provider:
            await VaultKeys.create(engine, provider)
            keys = await VaultKeys.open(engine, provider)
            log = await _log(settings, engine, keys)
            await log.create()
            await log.make_partitions_ahead()
            await _roots(settings, log, keys).create()
            if log.endings is not None:
                await endings.begin_owed(settings, log, log.endings.file, VAULT)
    finally:
        await engine.dispose()


@asynccontextmanager
async def _holding(settings: Settings, database_url: str) -> AsyncIterator[tuple[AsyncEngine, VaultKeys]]:
    """The database, and the keys in it as the provider opens them."""
    engine = application_engine(database_url, settings)
    try:
        require_needed(settings, await VaultKeys.needed(engine))
        async with open_provider(settings) as provider:
            yield engine, await VaultKeys.open(engine, provider)
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_vault(settings: Settings, database_url: str) -> AsyncIterator[Vault]:
    """Opens everything, compares the database with the outside lock, and closes it at the end.

    Raises:
        VaultError, CryptoError, AccessLogError: what is missing or wrong, and what to do.
    """
    catalogue = load_catalogue(settings.pack)
    async with AsyncExitStack() as held:
        engine, keys = await held.enter_async_context(_holding(settings, database_url))
        require_destruction(keys.provider, settings)
        letting_go = asyncio.create_task(keys.expiry.let_go_in_time())
        held.callback(letting_go.cancel)
        watching = asyncio.create_task(watch(keys))
        held.callback(watching.cancel)
        log = await _log(settings, engine, keys)
        closed = await _closed(settings, engine, keys, log.number)
        witnessing = _witnessing(settings, log)
        if witnessing is not None:
            held.push_async_callback(witnessing.close)
        if settings.witness_mode == "sync":
            log.witnesses = witnessing
        await log.start()
        log.earlier = tuple(each.log for each in closed)
        for each in closed:
            await each.log.require_kept()
        if log.number > 1:
            await closing.keep_opening(log)
        schemes = schemes_of(settings)
        enrolment = Enrolment(log, keys, catalogue)
        signing = TokenKeys(engine, keys)
        profile = Profile(
            settings.issuer,
            IssuerKeys(await signing.now()),
            Nonces(partial(_nonce_keys, keys)) if settings.proof_nonces else None,
        )
        yield Vault(
            settings=settings,
            engine=engine,
            catalogue=catalogue,
            keys=keys,
            log=log,
            closed=closed,
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
            identities=Identities(log, keys, catalogue),
            enrolment=enrolment,
            intake=Intake(enrolment, catalogue, schemes),
            profile=profile,
            protection=profile.protection(),
            token_keys=signing,
            keeper=_keeper(settings, keys, catalogue),
            schemes=schemes,
        )


@asynccontextmanager
async def open_log(settings: Settings, database_url: str) -> AsyncIterator[Log]:
    """The log alone, not started: to look at it, even where it would refuse to start.

    Raises:
        VaultError, CryptoError: what is missing or wrong, and what to do.
    """
    async with _holding(settings, database_url) as (engine, keys):
        yield await _log(settings, engine, keys)


@asynccontextmanager
async def open_closing(
    settings: Settings, database_url: str, successor: str
) -> AsyncIterator[tuple[Log, Log, RootsLog]]:
    """The log that is open, or was closed for another, and the one to be opened in its place with its roots.

    Args:
        settings: Their log may be either of the two.
        database_url: Of the application role.
        successor: Origin of the log to be opened.

    Raises:
        VaultError, CryptoError, AccessLogError: what is missing or wrong, and what to do.
    """
    async with AsyncExitStack() as held:
        engine, keys = await held.enter_async_context(_holding(settings, database_url))
        logs = await _logs(engine)
        open_one = logs[-1] if logs else writes.Named(1, settings.log_origin, None)
        if open_one.origin == successor and len(logs) > 1:
            open_one = logs[-2]
        old = Log(
            **_stored(settings, engine, keys, open_one.number, open_one.origin),
            references=_references(
                settings, open_one.origin, await _keys_before(settings, engine, keys, open_one.number)
            ),
            endings=_endings(settings, engine, keys, open_one.number, open_one.origin),
        )
        new = Log(
            **_stored(settings, engine, keys, open_one.number + 1, successor),
            endings=_endings(settings, engine, keys, open_one.number + 1, successor),
        )
        if settings.witness_mode == "sync":
            for log in (old, new):
                if (witnessing := _witnessing(settings, log)) is not None:
                    held.push_async_callback(witnessing.close)
                    log.witnesses = witnessing
        await new.signers.make(1)
        yield old, new, _roots(settings, new, keys)


@asynccontextmanager
async def open_roots(
    settings: Settings, database_url: str
) -> AsyncIterator[tuple[Log, RootsLog, tuple[Closed, ...]]]:
    """The log, not started, its log of roots, and those that were closed before.

    Raises:
        VaultError, CryptoError: what is missing or wrong, and what to do.
    """
    async with _holding(settings, database_url) as (engine, keys):
        log = await _log(settings, engine, keys)
        yield log, _roots(settings, log, keys), await _closed(settings, engine, keys, log.number)


async def _log(settings: Settings, engine: AsyncEngine, keys: VaultKeys) -> Log:
    """The log the settings name; where the database knows none of that name, `start` says so."""
    logs = await _logs(engine)
    newest = logs[-1].number if logs else 1
    number = next((one.number for one in logs if one.origin == settings.log_origin), newest)
    return Log(
        **_stored(settings, engine, keys, number, settings.log_origin),
        references=_references(
            settings, settings.log_origin, await _keys_before(settings, engine, keys, number)
        ),
        endings=_endings(settings, engine, keys, number, settings.log_origin),
    )


def _endings(settings: Settings, engine: AsyncEngine, keys: VaultKeys, number: int, origin: str) -> Endings:
    file = EndingsFile(settings.endings_of(number, origin), origin)
    log = StoredLog(**_stored(settings, engine, keys, number, origin))
    return Endings(file, reapplier(CopyKeys(keys.announced).signer(), log))


async def _keys_before(
    settings: Settings, engine: AsyncEngine, keys: VaultKeys, number: int
) -> list[VerifierKey]:
    """Every key of the logs that were closed before this one."""
    earlier = [one for one in await _logs(engine) if one.number < number]
    logs = [StoredLog(**_stored(settings, engine, keys, one.number, one.origin)) for one in earlier]
    return [key for log in logs for key in await log.every_verifier_key()]


async def _logs(engine: AsyncEngine) -> list[writes.Named]:
    async with engine.connect() as connection:
        return await writes.logs(connection)


async def _closed(
    settings: Settings, engine: AsyncEngine, keys: VaultKeys, before: int
) -> tuple[Closed, ...]:
    """The logs that were closed before this number, the oldest first."""
    found = []
    for one in await _logs(engine):
        if one.number < before:
            async with engine.connect() as connection:
                says = await closing.document_of(connection, one.number + 1)
            log = ClosedLog(**_stored(settings, engine, keys, one.number, one.origin), says=says)
            found.append(Closed(log, _roots(settings, log, keys)))
    return tuple(found)


def _stored(
    settings: Settings, engine: AsyncEngine, keys: VaultKeys, number: int, origin: str
) -> dict[str, Any]:
    """What every log of the database is made of (`StoredLog`)."""
    archive = settings.archive_dir
    return {
        "engine": engine,
        "number": number,
        "origin": origin,
        "master": keys.system(LABEL_MASTER),
        "sealer": LogSealer(keys, origin, settings.payload_years, load_catalogue(settings.pack).timezone),
        "signers": LogSigners(keys, origin, number, ml_dsa=settings.log_ml_dsa),
        "outside": OutsideLock(settings.outside_lock_of(number, origin)),
        "archive": None if archive is None else Archive(archive_of(archive, number, origin)),
    }


def _references(settings: Settings, origin: str, closed: Sequence[VerifierKey]) -> tuple[Reference, ...]:
    """Where others see this log: a folder that is not there yet holds nothing against the database."""
    found: list[Reference] = []
    place = settings.published_log or settings.publish_dir
    if place is not None:
        source = Website(place) if isinstance(place, str) and "://" in place else Directory(Path(place))
        found.append(Reference(f"the published log {place}", patient(source), _not_compared, closed=closed))
    policy = witness_policy(settings)
    if policy is not None:
        found.extend(
            witness_reference(shown(policy.witnesses[name]), url, origin, _not_compared)
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


def _nonce_keys(keys: VaultKeys) -> list[NonceKey]:
    return [
        NonceKey(one.secret, 0.0 if one.in_use_from is None else one.in_use_from.timestamp())
        for one in keys.announced.versions(PROOF_NONCE)
    ]


def _roots(settings: Settings, log: Log | ClosedLog, keys: VaultKeys) -> RootsLog:
    return RootsLog(log, RootsSigners(keys, log.origin, log.number), auditors=settings.auditors)


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
        signer=CopyKeys(keys.announced).signer(),
    )
