"""What is a person's own, as the API shows it: to themselves, and at a desk to whoever helps them."""

from datetime import datetime

from access_log.closed.log import closed_path
from consent.consents import Consent
from vault.rights.accesses import Access
from vault.rights.own_records import OwnRecord
from vault.schemas import DisplayOut, DocumentOut, SourceOut
from vault.server.portal.schemas import (
    AccessBasisOut,
    AccessBodyOut,
    AccessOut,
    CodeOut,
    ConsentEventOut,
    ConsentOut,
    DataRangeOut,
    FrequencyOut,
    OwnRecordOut,
)
from vault.server.portal.words import Words


class Shown:
    """Translates what the rooms know into what travels.

    Args:
        words: titles of codes.
    """

    def __init__(self, words: Words) -> None:
        self._words = words

    def access(self, access: Access) -> AccessOut:
        """An entry of the person's list."""
        details, body, basis = access.details, access.body, access.basis
        decision = details.get("decision")
        return AccessOut(
            log=access.log.origin,
            closed=access.closed is not None,
            identity=access.identity,
            index=access.index,
            proof=f"{closed_path(access.closed) if access.closed else '/log'}/proof/{access.index}",
            time=access.time,
            kind=access.kind,
            body=None
            if body is None
            else AccessBodyOut(name=body.name, contact=body.contact, address=body.address),
            officer_role=details.get("officer_role"),
            purpose=details.get("purpose"),
            case_reference=details.get("case_reference"),
            basis=None
            if basis is None
            else AccessBasisOut(
                kind=basis.kind, title=basis.title, article=basis.article, granted_at=basis.since
            ),
            fields=details.get("fields") or [],
            decision=decision,
            rule=details.get("reason") if decision == "refused" else None,
            reason=self._words.rule(details.get("reason")) if decision == "refused" else None,
            records_shown=access.shown if decision == "permitted" else None,
            released=access.released,
            concerns=access.concerns,
            delayed_by=access.court_reference,
            details=dict(details),
            opening=None if access.opening is None else dict(access.opening),
        )

    def record(self, own: OwnRecord) -> OwnRecordOut:
        """A record about them."""
        record = own.record
        return OwnRecordOut(
            record_id=own.record_id,
            version=own.version,
            identity=own.identity,
            category=CodeOut(code=record.category, title=self._words.category(record.category)),
            state=own.state,
            source=SourceOut(
                body=record.source,
                document=None if record.document is None else DocumentOut.model_validate(record.document),
            ),
            basis=CodeOut(code=own.basis, title=self._words.collection_basis(own.basis)),
            recorded_at=record.recorded_at,
            display=DisplayOut(
                first_day=record.display_from, last_day=record.display_until, how_counted=record.how_counted
            ),
            fields=record.fields,
            supporting=dict(own.supporting),
        )

    def consent(self, one: Consent, now: datetime) -> ConsentOut:
        """A consent of theirs."""
        return ConsentOut(
            consent_id=one.consent_id,
            body=one.body_name,
            purpose=CodeOut(code=one.purpose, title=self._words.purpose(one.purpose)),
            fields=list(one.fields),
            mode="store" if one.mode == "store" else "view",
            state=one.state(now),
            granted_at=one.granted_at,
            expires_at=one.expires_at,
            uses=one.uses,
            max_uses=one.max_uses,
            frequency=None
            if one.frequency is None
            else FrequencyOut(times=one.frequency.times, days=one.frequency.days),
            data_range=DataRangeOut(first=one.data_range.first, last=one.data_range.last),
            data_life_days=one.data_life_days,
            events=[
                ConsentEventOut(event=event.event, at=event.at, copy_jws=event.copy) for event in one.events
            ],
            copy_jws=one.events[-1].copy,
        )
