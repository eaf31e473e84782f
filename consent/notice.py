"""Delayed notice: whether a query is told to its person at once, or on the date a court allowed (RULES 10).

Pure, like the rules, but no rule: it decides in which stream of the log a query's entry stands, whatever was
decided about the query itself.
"""

from datetime import datetime

from consent.facts import AuthorizationFacts, DelayedNotice
from consent.permit import QueryRequest, Route


def delayed_notice(
    request: QueryRequest, authorization: AuthorizationFacts, now: datetime, *, known_case: bool = False
) -> DelayedNotice | None:
    """The delay under which a query stands; None where its person is told at once.

    Refusals stand under it, too, and so does what is asked after the authorization was revoked: telling of
    them early would tell of the case.

    Args:
        request: the query.
        authorization: the authorization it names, as it stands now.
        now: the moment of the entry.
        known_case: whether there is a case under it about the person or an identity joined with theirs.
    """
    notice = authorization.notice
    if request.token.route is not Route.STATUTORY or request.subject_id is None or notice is None:
        return None  # (10.1), (10.2)
    if authorization.body_id != request.body_id or not (authorization.names_subject or known_case):
        return None  # (10.3)
    return notice if now < notice.until else None  # (10.4)
