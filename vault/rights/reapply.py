"""Ends done once more in a restored database: withdrawals, revocations, suspensions (FORMAT 9.1 of the log).

Each kind goes the way the act itself goes, so it is an entry of the log, and is kept again.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from access_log.endings import Ending
from access_log.errors import OutsideLockError
from access_log.log import Writing
from access_log.stored_log import StoredLog
from consent import bodies, consents, freeze, mandates, merging, registrars, statutes
from consent.endings import Kind
from consent.errors import StateError, UnknownError
from consent.journal import VAULT
from consent.merging import Grounds
from consent.permit import Person
from consent.record import Signer
from vault.records import subjects
from vault.records.joining import JoinedSubjects
from vault.rights import erasure

_events = structlog.get_logger()


async def _withdraw(writing: Writing, ending: Ending, signer: Signer) -> None:
    person = await _person(writing, ending)
    await consents.withdraw(writing, person, ending.object, None, signer, actor=VAULT)


async def _freeze(writing: Writing, ending: Ending, _signer: Signer) -> None:
    await freeze.begin(writing, await _person(writing, ending), actor=VAULT)


async def _unfreeze(writing: Writing, ending: Ending, _signer: Signer) -> None:
    await freeze.end(writing, await _person(writing, ending), actor=VAULT)


async def _end_mandate(writing: Writing, ending: Ending, _signer: Signer) -> None:
    await mandates.end(writing, await _person(writing, ending), ending.object, VAULT)


async def _split(writing: Writing, ending: Ending, _signer: Signer) -> None:
    await merging.split(writing, JoinedSubjects(), ending.subject, Grounds(VAULT, "restored", None))


async def _stay_apart(_writing: Writing, _ending: Ending, _signer: Signer) -> None:
    """A merge that a database lacks is ordered anew: until then a query opens less, and nothing ended."""
    raise StateError("merges are not done once more")


async def _person(writing: Writing, ending: Ending) -> Person:
    person = await subjects.read(writing.connection, ending.subject)
    if person is None:
        raise UnknownError("this person is not known")
    return person


_APPLY: Final[Mapping[Kind, Callable[[Writing, Ending, Signer], Awaitable[None]]]] = {
    Kind.CONSENT_WITHDRAWN: _withdraw,
    Kind.FREEZE_BEGUN: _freeze,
    Kind.FREEZE_ENDED: _unfreeze,
    Kind.MANDATE_ENDED: _end_mandate,
    Kind.PERSONS_MERGED: _stay_apart,
    Kind.PERSON_SPLIT: _split,
    Kind.AUTHORIZATION_REVOKED: lambda writing, one, _: statutes.revoke_unsigned(
        writing, one.object, _reason(one), VAULT
    ),
    Kind.BODY_SUSPENDED: lambda writing, one, _: bodies.suspend_body(
        writing, one.object, _reason(one), VAULT
    ),
    Kind.BODY_REINSTATED: lambda writing, one, _: bodies.reinstate_body(
        writing, one.object, _reason(one), VAULT
    ),
    Kind.BODY_STRUCK_OFF: lambda writing, one, _: bodies.strike_off_body(
        writing, one.object, _reason(one), VAULT
    ),
    Kind.OFFICER_STOOD_DOWN: lambda writing, one, _: bodies.stand_down_officer(
        writing, one.object, _reason(one), VAULT
    ),
    Kind.REGISTRAR_STOOD_DOWN: lambda writing, one, _: registrars.stand_down_registrar(
        writing, one.object, _reason(one), VAULT
    ),
}


_ERASURES: Final = frozenset({Kind.PERSON_ERASED, Kind.PERSON_ERASED_WITH_LOG})


def reapplier(signer: Signer, log: StoredLog) -> Callable[[Writing, Sequence[Ending]], Awaitable[int]]:
    """Who sees to it, in the transaction of `writing`, that each object stands as its ending says.

    Args:
        signer: Signs the copies of consent records.
        log: The log that they are done again in.
    """

    async def apply(writing: Writing, endings: Sequence[Ending]) -> int:
        done = 0
        # Whoever was erased comes first: nothing is written into their stream any more.
        for ending in sorted(endings, key=lambda one: one.kind not in _ERASURES):
            try:
                kind = Kind(ending.kind)
            except ValueError:
                raise OutsideLockError(
                    f"an ending of the kind {ending.kind} is kept beside the outside lock, which this "
                    "program does not know: start the one that wrote it, or a newer one"
                ) from None
            try:
                if kind in _ERASURES:
                    with_log = kind is Kind.PERSON_ERASED_WITH_LOG
                    await erasure.remove_again(writing, log, ending.subject, with_log=with_log)
                else:
                    await _APPLY[kind](writing, ending, signer)
            except (StateError, UnknownError):
                continue  # It stands so already, or was lost altogether: nothing can rest on it.
            done += 1
            _events.warning(
                "ending_reapplied", kind=kind.name.lower(), object=str(ending.object), index=ending.index
            )
        return done

    return apply


def _reason(ending: Ending) -> str:
    return f"ended by entry {ending.index} of the log; done once more after a restore"
