"""A court with an authorization, a bank with a consent: two permitted queries, to be broken one by one."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from consent.facts import AuthorizationFacts, BodyFacts, ConsentFacts, OfficerFacts, State
from consent.permit import Flow, QueryRequest, Route, TokenGrant

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
TODAY = date(2026, 7, 1)
BODY, OFFICER, GRANT, SUBJECT = (UUID(int=number) for number in (0xB0, 0x0F, 0x6A, 0x5B))
OTHER = UUID(int=0xFFFF)
HASH = bytes(range(32))


class Catalogue:
    """Opens `FIN.*` to courts and banks, and `JUD.*` to courts."""

    def allows(self, kind_of_body: str, field: str) -> bool:
        category = field.partition(".")[0]
        return category in {"court": {"FIN", "JUD"}, "bank": {"FIN"}}.get(kind_of_body, set())


CATALOGUE = Catalogue()


@dataclass(frozen=True)
class Asked:
    """A request beside its state, so that a test can break either."""

    request: QueryRequest
    state: State
    now: datetime = NOW

    def asking(self, **changes: Any) -> "Asked":
        return replace(self, request=replace(self.request, **changes))

    def with_token(self, **changes: Any) -> "Asked":
        return self.asking(token=replace(self.request.token, **changes))

    def knowing(self, **changes: Any) -> "Asked":
        return replace(self, state=replace(self.state, **changes))

    def with_part(self, part: str, **changes: Any) -> "Asked":
        return self.knowing(**{part: replace(getattr(self.state, part), **changes)})

    def at(self, now: datetime) -> "Asked":
        return replace(self, now=now)


COURT_ASKS = Asked(
    QueryRequest(
        body_id=BODY,
        officer_id=OFFICER,
        purpose="court-enforcement",
        fields=("FIN.type", "FIN.status"),
        case_reference="(2026)沪0115执123号",
        subject_hash=HASH,
        subject_id=SUBJECT,
        token=TokenGrant(
            route=Route.STATUTORY,
            flow=Flow.CLIENT,
            grant_id=GRANT,
            purpose="court-enforcement",
            fields=frozenset({"FIN.type", "FIN.status", "FIN.end"}),
            subject_hash=HASH,
            officer_id=OFFICER,
            case_reference="(2026)沪0115执123号",
        ),
    ),
    State(
        today=TODAY,
        body=BodyFacts("court", "active", frozenset({"court-enforcement"}), frozenset({"ask"})),
        officer=OfficerFacts(BODY, "active", "enforcement judge"),
        authorization=AuthorizationFacts(
            body_id=BODY,
            state="approved",
            purposes=frozenset({"court-enforcement"}),
            fields=frozenset({"FIN.type", "FIN.status", "FIN.end", "JUD.performance"}),
            basis_purposes=frozenset({"court-enforcement"}),
            basis_categories=frozenset({"FIN", "JUD"}),
            scope="case",
            names_subject=False,
            case_pattern="(2026)沪0115执*号",
            per_day=10,
            per_case=3,
            valid_from=NOW - timedelta(days=30),
            valid_until=NOW + timedelta(days=30),
            basis_from=date(2020, 1, 1),
            basis_until=None,
        ),
    ),
)
BANK_ASKS = Asked(
    QueryRequest(
        body_id=BODY,
        officer_id=OFFICER,
        purpose="credit-granting",
        fields=("FIN.type", "FIN.amount_class"),
        case_reference="loan 4711",
        subject_hash=HASH,
        subject_id=SUBJECT,
        token=TokenGrant(
            route=Route.CONSENTED,
            flow=Flow.CODE,
            grant_id=GRANT,
            purpose="credit-granting",
            fields=frozenset({"FIN.type", "FIN.amount_class"}),
            subject_id=SUBJECT,
        ),
    ),
    State(
        today=TODAY,
        body=BodyFacts("bank", "active", frozenset({"credit-granting"}), frozenset({"ask", "furnish"})),
        officer=OfficerFacts(BODY, "active", "loan officer"),
        consent=ConsentFacts(
            subject_id=SUBJECT,
            body_id=BODY,
            purpose="credit-granting",
            fields=frozenset({"FIN.type", "FIN.amount_class", "FIN.end"}),
            mode="store",
            last_event="granted",
            granted_at=NOW - timedelta(days=10),
            expires_at=NOW + timedelta(days=10),
            max_uses=5,
            frequency_times=2,
            frequency_days=7,
            data_from=date(2024, 1, 1),
            data_until=None,
            data_life_days=90,
            frozen=False,
        ),
    ),
)
